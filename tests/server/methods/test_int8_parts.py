"""Parts of int8 tensors: whole numbers within int8, and the numbers that a device computes of their levels."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diffclient.diff import bucket_hash
from diffclient.tensors.arithmetic import ONE, combine_int8
from diffclient.tensors.snapshot import Array
from diffserver.methods.hashed import HashedPart
from diffserver.methods.quantiser import Grid
from diffserver.methods.sparse_part import SparsePart

ROWS, COLUMNS = 3, 4
parents = st.lists(st.integers(-128, 127), min_size=12, max_size=12).map(
    lambda numbers: np.array(numbers, np.int8).reshape(ROWS, COLUMNS)
)
scales = st.one_of(
    st.floats(2**-12, 2**-4, width=32).map(lambda scale: np.full((1, 1), scale, np.float32)),
    st.lists(st.floats(2**-12, 2**-4, width=32), min_size=ROWS, max_size=ROWS).map(
        lambda scale: np.array(scale, np.float32)[:, None]
    ),
)
values = st.lists(st.floats(-64, 64, width=32), min_size=12, max_size=12).map(torch.tensor)
units = st.integers(1, 200)


def require_device_agrees(made: Tensor, parent: Array, added: Array) -> None:
    """The part's numbers are what a device makes of its levels, which raises where they would leave int8."""
    numbers = made.detach().numpy()
    device = combine_int8(parent.ravel(), added.astype(np.int64).ravel(), ONE, ONE)
    assert np.array_equal(numbers, device.reshape(parent.shape).astype(np.float32))


@given(parents, scales, values, units, st.floats(0, 8, width=32))
def test_sparse(parent: Array, scale: Array, steps: Tensor, taken: int, threshold: float) -> None:
    grid = Grid.of_int8(scale)
    part = SparsePart(parent, grid, 1.0, 127)
    assert grid.scale is not None
    part.values.data = steps.view(ROWS, COLUMNS) * grid.scale
    part.threshold.fill_(threshold * grid.mean_scale)
    part.take(taken)
    part.phase = "quantised"
    levels = part.levels(torch.from_numpy(parent))
    wanted = part.values / grid.scale / taken
    assert bool((levels.abs() <= wanted.abs() + 0.51).all())
    assert bool((levels * wanted >= 0).all())
    require_device_agrees(part(torch.from_numpy(parent)), parent, levels.numpy() * taken)


@given(parents, scales, values)
def test_a_sparse_part_that_is_not_quantised_stays_within_int8(parent: Array, scale: Array, steps: Tensor) -> None:
    grid = Grid.of_int8(scale)
    part = SparsePart(parent, grid, 1.0, 127)
    assert grid.scale is not None
    part.values.data = 4 * steps.view(ROWS, COLUMNS) * grid.scale
    made = part(torch.from_numpy(parent))
    assert bool(((made >= -128) & (made <= 127)).all())
    part.confine(torch.from_numpy(parent))
    ends = torch.from_numpy(parent) + part.values / grid.scale
    assert bool(((ends >= -128.01) & (ends <= 127.01)).all())
    assert torch.allclose(ends, made, atol=0.01)


@given(parents, scales, values, units, st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_hashed(parent: Array, scale: Array, steps: Tensor, taken: int, count: int, seed: int) -> None:
    bucket, sign = bucket_hash.assign(seed, 0, 0, parent.size, count)
    places = torch.from_numpy(bucket), torch.from_numpy(sign.astype(np.float32))
    grid = Grid.of_int8(scale)
    part = HashedPart(parent, grid, places, count, 127)
    part.values.data = steps[:count] * grid.mean_scale
    part.take(taken)
    levels = part.levels().numpy()
    require_device_agrees(part(torch.from_numpy(parent)), parent, (levels * taken)[bucket] * sign)
