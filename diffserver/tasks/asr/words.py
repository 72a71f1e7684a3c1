"""The task of recognising single words from a few recordings each: `asr` with a training that mixes recordings.

If all recordings of a word share a room and a length of silence, a network learns those instead of the word. So
training cuts silence away and joins utterances of a batch. All else is left to `asr`.
"""

from collections.abc import Sequence

import numpy as np

from diffclient.measure.log_mel import Features
from diffserver.tasks.asr.augment import Rng
from diffserver.tasks.asr.task import AsrTask, Utterance

CUT = 0.7  # the share of utterances that lose some of the silence around them
JOINED = 0.5  # the share of utterances that get another one before or after them
SMOOTHED = 5  # frames of 10 ms that loudness is a mean of
ACTIVE = 0.3  # of the way from an utterance's quiet parts to its loud ones: what is louder is speech
MARGIN = 4  # frames around the speech that are never cut away


class WordsTask(AsrTask):
    """The task of words and short phrases with a few hundred recordings each."""

    name = "asr-words"

    def augmented(self, examples: Sequence[Utterance], rng: Rng) -> list[Utterance]:
        """Return the utterances, cut and joined at random and then augmented as in `asr`."""
        return super().augmented(joined([cut(example, rng) for example in examples], rng), rng)


def cut(example: Utterance, rng: Rng) -> Utterance:
    """Return the utterance, perhaps without some of the silence around its speech."""
    energies = example.energies
    if rng.random() >= CUT:
        return example
    first, last = _speech(energies)
    start = int(rng.integers(0, max(0, first - MARGIN) + 1))
    end = int(rng.integers(min(len(energies), last + 1 + MARGIN), len(energies) + 1))
    return Utterance(energies[start:end], example.text)


def joined(examples: Sequence[Utterance], rng: Rng) -> list[Utterance]:
    """Return the utterances, some of them joined with another one of about equal loudness."""
    return [_with_another(example, examples, rng) if rng.random() < JOINED else example for example in examples]


def _speech(energies: Features) -> tuple[int, int]:
    """Return the first and the last frame that may be speech: louder than silence, widened by the smoothing."""
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
