"""Log-mel features: shapes, what falls out of them, and figures that must not move between machines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclient.measure.log_mel import HOP, MELS, SAMPLE_RATE, WINDOW, Samples, log_mel, mel_energies, normalise


def tone(hertz: float, seconds: float = 0.5) -> Samples:
    """A sine of amplitude 0.5."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(np.float32)


@given(st.integers(0, 5000))
def test_a_frame_every_ten_milliseconds_and_never_none(length: int) -> None:
    features = log_mel(np.zeros(length, np.float32))
    assert features.dtype == np.float32
    assert features.shape == (1 + max(0, length - WINDOW) // HOP, MELS)
    assert np.isfinite(features).all()


def test_higher_tones_excite_higher_bands() -> None:
    loudest = [int(mel_energies(tone(hertz)).mean(axis=0).argmax()) for hertz in (200, 500, 1000, 2000, 4000, 7000)]
    assert loudest == sorted(set(loudest))


@given(st.floats(0.1, 1.0), st.integers(0, 2**32 - 1))
def test_gain_falls_out(gain: float, seed: int) -> None:
    speech = np.random.default_rng(seed).normal(0, 0.2, 4000).astype(np.float32)
    assert np.allclose(log_mel(speech), log_mel(speech * np.float32(gain)), atol=2e-2)


def test_bands_are_normalised_over_the_utterance() -> None:
    features = normalise(np.random.default_rng(0).normal(3, 5, (200, MELS)).astype(np.float32))
    assert np.allclose(features.mean(axis=0), 0, atol=1e-5)
    assert np.allclose(features.std(axis=0), 1, atol=1e-2)


def test_an_utterance_does_not_depend_on_what_follows_its_frames() -> None:
    speech = np.random.default_rng(1).normal(0, 0.1, 8000).astype(np.float32)
    assert np.array_equal(mel_energies(speech)[:20], mel_energies(speech[: WINDOW + 19 * HOP]))


@pytest.mark.parametrize(
    ("frame", "band", "expected"),
    [(0, 5, 9.0765), (10, 18, 9.43), (24, 27, 9.6779), (47, 36, 9.4627)],
)
def test_figures_are_those_of_version_1(frame: int, band: int, expected: float) -> None:
    # A change here makes every published model deaf: raise FEATURES_VERSION and retrain.
    chirp = np.sin(2 * np.pi * (200 + 6000 * np.arange(8000) / 16000) * np.arange(8000) / 16000).astype(np.float32)
    assert mel_energies(chirp)[frame, band] == pytest.approx(expected, abs=1e-3)
