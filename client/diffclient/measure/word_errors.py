"""Word errors: counting them in a text, adding them up, and their rate."""

from __future__ import annotations

from dataclasses import dataclass

COUNT_LIMIT = 2**31 - 1
"""What no figure may exceed that is told to a server."""


@dataclass(frozen=True)
class Errors:
    """Word errors (substituted, inserted, deleted) on so many reference words."""

    errors: int
    words: int

    @property
    def wer_ppm(self) -> int:
        """The word error rate in parts per million, rounded down and at most what a report carries; 0 for no words."""
        return min(self.errors * 1_000_000 // self.words, COUNT_LIMIT) if self.words else 0

    def __add__(self, other: Errors) -> Errors:
        return Errors(self.errors + other.errors, self.words + other.words)


def word_errors(reference: str, hypothesis: str) -> int:
    """Return how many words must be substituted, inserted or deleted to make one text of the other."""
    heard = hypothesis.split()
    costs = list(range(len(heard) + 1))
    for row, word in enumerate(reference.split(), start=1):
        diagonal, costs[0] = costs[0], row
        for column, other in enumerate(heard, start=1):
            cost = min(diagonal + (word != other), costs[column] + 1, costs[column - 1] + 1)
            diagonal, costs[column] = costs[column], cost
    return costs[-1]
