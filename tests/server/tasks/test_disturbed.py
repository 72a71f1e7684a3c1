"""Weights with noise: as much as was asked for, always alike, and only where it can be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diffclient.tensors.snapshot import Array, Snapshot, enter_grid, write_snapshot
from diffserver.tasks.disturbed import Disturbed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    weights: dict[str, Array] = {
        "bf16": rng.integers(0, 16_000, 9).astype(np.uint16),
        "half": rng.normal(size=(40, 50)).astype(np.float16),
        "single": rng.normal(size=(40, 50)).astype(np.float32),
        "whole": rng.integers(-128, 128, 2000).astype(np.int8),
        "zero": np.zeros(5, np.float32),
    }
    table, arrays = enter_grid(weights, dtypes={"bf16": "BF16"})
    write_snapshot(tmp_path / "0", table, [arrays[spec.name] for spec in table])
    return tmp_path / "0"


@pytest.mark.parametrize("level", [0.01, 0.25])
def test_every_weight_is_moved_by_a_share_of_itself(path: Path, level: float) -> None:
    exact, disturbed = Snapshot(path), Disturbed(path, level, 0)
    for name in ("single", "half"):
        before, after = exact.read(name).astype(np.float64), disturbed.read(name)
        assert (after.dtype, after.shape) == (exact.read(name).dtype, before.shape)
        assert np.std(after / before - 1) == pytest.approx(level, rel=0.1)
    assert not disturbed.read("zero").any()
    assert np.array_equal(disturbed.read("bf16"), exact.read("bf16"))


def test_int8_stays_in_whole_steps_and_in_its_range(path: Path) -> None:
    before, after = Snapshot(path).read("whole"), Disturbed(path, 0.25, 0).read("whole")
    assert after.dtype == np.int8
    assert np.mean(before != after) > 0.5
    assert np.all(np.sign(after) * np.sign(before) >= 0), "nothing wraps round"


def test_the_noise_follows_from_the_seed(path: Path) -> None:
    first, again, other = (Disturbed(path, 0.1, seed).read_all() for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["single"], other["single"])
