"""Log-mel features in plain numpy: what training saw is what the device computes.

All arithmetic is in float64 and is rounded to float32 once, at the end; sums have a fixed order, so no BLAS. On one
machine a frame's energies are the same to the bit whatever follows it. Other processors and versions of numpy round
the transform and the logarithm differently, by far less than float32 shows: an energy is nearly always the same to the
bit, and else a neighbouring float32, at most 1e-6 away for samples from -1 to 1.

Reading and resampling audio is left to the callers; they hand in mono float samples at 16 kHz.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

FEATURES_VERSION = 1
SAMPLE_RATE = 16_000
MELS = 40
HOP = 160  # 10 ms
WINDOW = 400  # 25 ms
FFT = 512

Samples = npt.NDArray[np.float32]
Features = npt.NDArray[np.float32]


def log_mel(samples: Samples) -> Features:
    """Features of one utterance: float32 `[frames, MELS]`, each band with mean 0 and deviation 1.

    `samples`: float32 `[n]` at 16 kHz, n >= 0; an utterance shorter than one window is padded with silence.
    """
    return normalise(mel_energies(samples))


def mel_energies(samples: Samples) -> Features:
    """Natural logarithms of the mel bands' energies, not normalised: float32 `[frames, MELS]`, a frame every 10 ms."""
    padded = np.pad(samples.astype(np.float32, copy=False), (0, max(0, WINDOW - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    spectrum = np.fft.rfft(frames * _window(), FFT, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    triangles = _triangles()
    mels = np.add.reduceat(power[:, triangles.bins] * triangles.weights, triangles.starts, axis=1)
    return np.asarray(np.log(mels + 1e-6), np.float32)


def normalise(energies: Features) -> Features:
    """Each band shifted to mean 0 and scaled to deviation 1 over the utterance: gain and microphone fall out."""
    centred = energies - energies.mean(axis=0, dtype=np.float64)
    return np.asarray(centred / (centred.std(axis=0, dtype=np.float64) + 1e-2), np.float32)


@dataclass(frozen=True)
class _Triangles:
    """The mel bands' weights without their zeros, band by band: each has few of the spectrum's bins."""

    starts: npt.NDArray[np.intp]
    """Where each band begins in the other two: `[MELS]`."""
    bins: npt.NDArray[np.intp]
    weights: npt.NDArray[np.float64]


@cache
def _window() -> npt.NDArray[np.float64]:
    return np.hanning(WINDOW + 1)[:-1]


@cache
def _triangles() -> _Triangles:
    """Triangles on the mel scale from 20 Hz to 8 kHz."""
    edges = _to_hertz(np.linspace(_to_mel(20.0), _to_mel(SAMPLE_RATE / 2), MELS + 2))[:, None]
    bins = np.arange(FFT // 2 + 1) * SAMPLE_RATE / FFT
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0, np.minimum(rising, falling))
    bands, kept = np.nonzero(weights)
    return _Triangles(np.searchsorted(bands, np.arange(MELS)), kept, weights[bands, kept])


def _to_mel(hertz: float) -> float:
    return 2595 * float(np.log10(1 + hertz / 700))


def _to_hertz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 700 * (10 ** (mel / 2595) - 1)
