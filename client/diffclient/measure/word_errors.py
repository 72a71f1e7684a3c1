"""Word errors: what a recogniser got wrong in a text."""

from __future__ import annotations


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
