"""Weights that were trained freely, on the grids of their line."""

from __future__ import annotations

import numpy as np
import pytest

from diffclient.errors import RangeError
from diffclient.tensors.snapshot import enter_grid
from diffserver.training import clip_to_grid

RNG = np.random.default_rng(0)
TABLE, PARENT = enter_grid(
    {
        "bias": RNG.normal(0, 0.01, 8).astype(np.float32),
        "steps": np.arange(3, dtype=np.int64),
        "weight": RNG.normal(0, 1, (4, 5)).astype(np.float32),
    }
)


def test_weights_are_rounded_to_their_grids_and_what_has_none_stays() -> None:
    trained = PARENT | {"weight": PARENT["weight"] + np.float32(1e-3), "steps": np.array([5, 6, 7])}
    bias, steps, weight = clip_to_grid.enter(TABLE, trained)
    assert np.array_equal(bias, PARENT["bias"])
    assert np.array_equal(steps, [5, 6, 7])
    assert np.allclose(weight, trained["weight"], atol=1e-6)
    assert weight.dtype == np.float32
    assert np.array_equal(clip_to_grid.enter(TABLE, {"bias": bias, "steps": steps, "weight": weight})[2], weight)


def test_a_weight_that_walked_away_is_cut_where_its_grid_ends() -> None:
    bias = PARENT["bias"].copy()
    bias[:2] = 30.0, -30.0
    cut, *_ = clip_to_grid.enter(TABLE, PARENT | {"bias": bias})
    assert TABLE[0].grid is not None
    end = np.float32(2.0 ** (24 - TABLE[0].grid))
    assert cut[:2].tolist() == [end, -end]
    assert np.array_equal(cut[2:], PARENT["bias"][2:])


def test_a_weight_that_is_no_number_is_told() -> None:
    with pytest.raises(RangeError):
        clip_to_grid.enter(TABLE, PARENT | {"bias": np.full(8, np.nan, np.float32)})
