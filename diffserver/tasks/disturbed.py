"""A version with noise on its weights: what a runtime that computes something else makes of a model."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import numpy as np

from diffclient.tensors.snapshot import Array, Snapshot


class Disturbed(Snapshot):
    """A snapshot whose fp32, fp16 and int8 weights are read with noise, as a share of each weight (`level`)."""

    def __init__(self, path: Path, level: float, seed: int) -> None:
        super().__init__(path)
        self._level, self._seed = level, seed

    def read(self, name: str) -> Array:
        """Return one tensor's weights, disturbed; the same tensor always alike."""
        exact = super().read(name)
        if exact.dtype not in (np.float32, np.float16, np.int8):  # bf16 comes as its bits
            return exact
        noise = np.random.default_rng([self._seed, crc32(name.encode())]).standard_normal(exact.shape, np.float32)
        moved = exact * (1 + np.float32(self._level) * noise)
        if exact.dtype == np.int8:
            moved = np.rint(moved).clip(-128, 127)
        return np.asarray(moved.astype(exact.dtype))
