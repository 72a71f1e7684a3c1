"""Augmentation: drawn, bounded, and harmless to what is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclient.measure.log_mel import MELS, Features
from diffserver.tasks.asr.augment import WARP, augmented


def energies(frames: int, seed: int = 0) -> Features:
    return np.random.default_rng(seed).normal(-3, 4, (frames, MELS)).astype(np.float32)


@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_gives_finite_energies_of_about_the_same_length(frames: int, seed: int) -> None:
    original = energies(frames)
    kept = original.copy()
    changed = augmented(original, np.random.default_rng(seed))
    assert changed.dtype == np.float32
    assert changed.shape[1] == MELS
    assert max(1, frames * (1 - WARP) - 1) <= len(changed) <= frames * (1 + WARP) + 1
    assert np.isfinite(changed).all()
    assert np.array_equal(original, kept)


def test_the_generator_decides() -> None:
    first, again, other = (augmented(energies(100), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


@pytest.mark.parametrize("seed", range(5))
def test_speech_stays_where_it_is(seed: int) -> None:
    # A loud stretch in the middle must still be the loudest part, in time and among the bands.
    quiet = np.full((200, MELS), -10, np.float32)
    quiet[80:120, 15:25] = 5
    changed = augmented(quiet, np.random.default_rng(seed))
    assert 0.35 < changed.mean(axis=1).argmax() / len(changed) < 0.65
    assert 12 <= changed.mean(axis=0).argmax() <= 28
