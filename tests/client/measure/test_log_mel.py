"""Log-mel features: shapes, what falls out of them, and figures that must not move between machines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclient.measure.log_mel import HOP, MELS, SAMPLE_RATE, WINDOW, Samples, log_mel, mel_energies, normalise

ELSEWHERE = """
import numpy
from diffclient.measure.log_mel import mel_energies
numpy.save("energies.npy", mel_energies(numpy.load("speech.npy")))
"""


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


@given(st.integers(1, 48))
def test_a_frame_does_not_depend_on_what_follows_it(frames: int) -> None:
    speech = np.random.default_rng(1).normal(0, 0.1, WINDOW + 47 * HOP).astype(np.float32)
    assert np.array_equal(mel_energies(speech)[:frames], mel_energies(speech[: WINDOW + (frames - 1) * HOP]))


def test_the_kernels_of_another_processor_give_the_same_figures(tmp_path: Path) -> None:
    # A numpy that may use nothing but what every processor has, and an OpenBLAS for an old one.
    plain = {
        "NPY_DISABLE_CPU_FEATURES": " ".join(np.show_config(mode="dicts")["SIMD Extensions"]["found"]),
        "OPENBLAS_CORETYPE": "Prescott",
    }
    speech = np.random.default_rng(2).uniform(-1, 1, 3 * SAMPLE_RATE).astype(np.float32)
    np.save(tmp_path / "speech.npy", speech)
    subprocess.run([sys.executable, "-c", ELSEWHERE], cwd=tmp_path, env=os.environ | plain, check=True)
    here, there = mel_energies(speech), np.load(tmp_path / "energies.npy")
    assert np.mean(here != there) < 1e-3
    assert np.abs(here - there).max() <= 1e-6


@pytest.mark.parametrize(
    ("frame", "band", "expected"),
    [(0, 5, 9.0765), (10, 18, 9.43), (24, 27, 9.6779), (47, 36, 9.4627)],
)
def test_figures_are_those_of_version_1(frame: int, band: int, expected: float) -> None:
    # A change here makes every published model deaf: raise FEATURES_VERSION and retrain.
    chirp = np.sin(2 * np.pi * (200 + 6000 * np.arange(8000) / 16000) * np.arange(8000) / 16000).astype(np.float32)
    assert mel_energies(chirp)[frame, band] == pytest.approx(expected, abs=1e-3)
