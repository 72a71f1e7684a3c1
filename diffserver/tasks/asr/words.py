"""Recognising single words, each learned from a few recordings of its own: `asr` with a training that mixes them.

Where every recording of a word comes from the same kind of room and has the same silence around it, a network learns
these instead, and hears the newest word in each recording of that kind. So silence is cut away while training, and
utterances are joined to others of their batch.
"""

from collections.abc import Sequence

import numpy as np

from diffclient.measure.log_mel import Features

from .augment import Rng
from .task import AsrTask, Utterance

CUT = 0.7  # the share of utterances that lose some of the silence around them
JOINED = 0.5  # the share of utterances that get another one before or after them
SMOOTHED = 5  # frames of 10 ms that loudness is a mean of
ACTIVE = 0.3  # of the way from an utterance's quiet parts to its loud ones: what is louder is speech
MARGIN = 4  # frames around the speech that are never cut away


class WordsTask(AsrTask):
    """Words and short phrases, of which there are a few hundred recordings each."""

    name = "asr-words"

    def augmented(self, examples: Sequence[Utterance], rng: Rng) -> list[Utterance]:
        """These utterances cut and joined at random, and then as `asr` augments them."""
        return super().augmented(joined([cut(example, rng) for example in examples], rng), rng)


def cut(example: Utterance, rng: Rng) -> Utterance:
    """Perhaps without some of the silence before and after the speech, never without any of the speech."""
    energies = example.energies
    if rng.random() >= CUT:
        return example
    first, last = _speech(energies)
    start = int(rng.integers(0, max(0, first - MARGIN) + 1))
    end = int(rng.integers(min(len(energies), last + 1 + MARGIN), len(energies) + 1))
    return Utterance(energies[start:end], example.text)


def joined(examples: Sequence[Utterance], rng: Rng) -> list[Utterance]:
    """Each utterance, some with another one of these, about as loud, before or after it."""
    return [_with_another(example, examples, rng) if rng.random() < JOINED else example for example in examples]


def _speech(energies: Features) -> tuple[int, int]:
    """The first and the last frame that may be speech: louder than the silence around it, or blurred with such."""
    edges = SMOOTHED // 2
    loudness = np.convolve(
        np.pad(energies.mean(axis=1), edges, "edge"), np.full(SMOOTHED, 1 / SMOOTHED, np.float32), "valid"
    )
    quiet, loud = np.percentile(loudness, [10, 95])
    active = np.flatnonzero(loudness >= quiet + ACTIVE * (loud - quiet))
    return int(active[0]) - edges, int(active[-1]) + edges


def _with_another(example: Utterance, examples: Sequence[Utterance], rng: Rng) -> Utterance:
    other = examples[int(rng.integers(len(examples)))]
    louder = np.percentile(example.energies, 95) - np.percentile(other.energies, 95) + rng.uniform(-1, 1)
    pair = [example, Utterance(other.energies + np.float32(louder), other.text)]
    if rng.random() < 0.5:
        pair.reverse()
    return Utterance(np.concatenate([part.energies for part in pair]), " ".join(part.text for part in pair))
