"""Words that are cut and joined while training: speech is never lost, and texts say what is heard."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from diffclient.measure.log_mel import MELS
from diffserver.tasks import load_task
from diffserver.tasks.asr.task import Utterance
from diffserver.tasks.asr.words import CUT, JOINED, MARGIN, cut, joined

SPEECH, SILENCE = 2.0, -9.0


def said(text: str, before: int, frames: int, after: int, louder: float = 0.0) -> Utterance:
    loudness = np.repeat([SILENCE, SPEECH, SILENCE], [before, frames, after]).astype(np.float32) + np.float32(louder)
    return Utterance(np.repeat(loudness[:, None], MELS, axis=1), text)


@given(st.integers(0, 200), st.integers(10, 80), st.integers(0, 200), st.integers(0, 2**32 - 1))
@example(4, 29, 0, 0)
@example(0, 43, 4, 0)
def test_speech_and_a_margin_are_never_cut_away(before: int, frames: int, after: int, seed: int) -> None:
    whole = said("alexa", before, frames, after)
    left = cut(whole, np.random.default_rng(seed))
    assert (left.energies == SPEECH).sum() == frames * MELS
    spoken = np.flatnonzero(left.energies[:, 0] == SPEECH)
    assert spoken[0] >= min(before, MARGIN)
    assert len(left.energies) - 1 - spoken[-1] >= min(after, MARGIN)
    assert left.text == "alexa"


@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_whatever_was_heard_something_is_left(frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.normal(-3, 4, (frames, MELS)).astype(np.float32)
    assert 1 <= len(cut(Utterance(noise, "zero"), rng).energies) <= frames


def test_about_as_many_as_said_are_cut() -> None:
    rng = np.random.default_rng(0)
    whole = said("alexa", 200, 40, 200)
    shorter = sum(len(cut(whole, rng).energies) < len(whole.energies) for _ in range(500))
    assert abs(shorter / 500 - CUT) < 0.1


def test_joined_utterances_hold_both_and_say_both() -> None:
    rng = np.random.default_rng(0)
    batch = [said("one", 0, 20, 0), said("two", 0, 30, 0, louder=-4.0), said("smart mirror", 10, 40, 10)]
    lengths = {utterance.text: len(utterance.energies) for utterance in batch}
    heard = [utterance for _ in range(200) for utterance in joined(batch, rng)]
    counts = Counter(utterance.text for utterance in heard)
    alone = sum(counts[text] for text in lengths)
    assert abs(1 - alone / len(heard) - JOINED) < 0.1
    assert {"one two", "two one", "smart mirror one", "two smart mirror"} <= set(counts)
    for utterance in heard:
        parts = [text for text in lengths for _ in range(utterance.text.count(text))]
        assert len(utterance.energies) == sum(lengths[text] for text in parts)
        assert utterance.energies.dtype == np.float32


def test_what_is_joined_is_about_as_loud() -> None:
    rng = np.random.default_rng(0)
    quiet, loud = said("one", 0, 20, 0, louder=-8.0), said("two", 0, 20, 0)
    pairs = [pair for _ in range(50) for pair in joined([quiet, loud], rng) if pair.text in ("one two", "two one")]
    assert pairs
    assert all(np.ptp(pair.energies) <= 1 for pair in pairs)


def test_it_is_a_task_of_its_own_and_batches_are_drawn_with_the_generator() -> None:
    task = load_task("asr-words")
    batch = [said("one", 50, 20, 50), said("two", 50, 30, 50)] * 4
    first, again, other = (task.batch(batch, np.random.default_rng(seed), "cpu") for seed in (1, 1, 2))
    assert first.features.equal(again.features)
    assert first.symbols.equal(again.symbols)
    assert first.features.shape != other.features.shape or not first.features.equal(other.features)
    assert max(first.symbol_lengths.tolist()) > 3
