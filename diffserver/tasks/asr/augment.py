"""Augment mel energies in training: other voices, rates and rooms, drawn from a generator.

Cheap enough to draw anew for every batch. The energies are log-mel; normalising them is left to the task.
"""

import numpy as np
import numpy.typing as npt

from diffclient.measure.log_mel import Features

WARPED = 0.5  # the share of utterances that get another voice and rate
WARP = 0.10  # how far voices are shifted along the bands, and rates stretched, to either side
NOISY = 0.25  # the share of utterances that get noise
QUIETEST, LOUDEST = 6.0, 1.0  # the noise's level below the utterance's loud parts, in nepers of energy
LONGEST_TIME_MASK, WIDEST_BAND_MASK = 10, 4  # frames of 10 ms, bands

Rng = np.random.Generator


def augmented(energies: Features, rng: Rng) -> Features:
    """Return augmented energies, float32 `[frames, MELS]`: perhaps warped or noisy, with a little of them masked."""
    changed = energies
    if rng.random() < WARPED:
        changed = _warped(changed, rng)
    if rng.random() < NOISY:
        changed = _with_noise(changed, rng)
    return _masked(changed, rng)


def _warped(energies: Features, rng: Rng) -> Features:
    """Return the energies stretched in time and shifted along the bands, which are about logarithmic in frequency."""
    frames, bands = energies.shape
    rate, pitch = 1 + WARP * rng.uniform(-1, 1, 2)
    in_time = _between(energies, np.linspace(0, frames - 1, max(1, round(frames * rate))))
    return _between(in_time.T, np.clip(np.arange(bands) * pitch, 0, bands - 1)).T


def _between(rows: Features, places: npt.NDArray[np.float64]) -> Features:
    """Return rows at fractional places, interpolated linearly."""
    lower = np.minimum(places.astype(np.int64), max(0, len(rows) - 2))
    upper = np.minimum(lower + 1, len(rows) - 1)
    weight = (places - lower).astype(np.float32)[:, None]
    return np.asarray(rows[lower] * (1 - weight) + rows[upper] * weight, np.float32)


def _with_noise(energies: Features, rng: Rng) -> Features:
    """Return the energies plus those of a steady noise with a random slope over the bands."""
    frames, bands = energies.shape
    level = np.percentile(energies, 95) - rng.uniform(LOUDEST, QUIETEST)
    slope = rng.uniform(-2, 2) * np.linspace(-0.5, 0.5, bands)
    # A band's energy of Gaussian noise varies like this from frame to frame.
    noise = level + slope + 0.5 * rng.standard_normal((frames, bands), np.float32)
    return np.asarray(np.logaddexp(energies, noise), np.float32)


def _masked(energies: Features, rng: Rng) -> Features:
    """Return the energies with one stretch of time and one of bands set to the utterance's mean."""
    changed, mean = energies.copy(), energies.mean(axis=0)
    frames, bands = energies.shape
    width = int(rng.integers(0, min(LONGEST_TIME_MASK, frames // 8) + 1))
    start = int(rng.integers(0, frames - width + 1))
    changed[start : start + width] = mean
    width = int(rng.integers(0, WIDEST_BAND_MASK + 1))
    start = int(rng.integers(0, bands - width + 1))
    changed[:, start : start + width] = mean[start : start + width]
    return changed
