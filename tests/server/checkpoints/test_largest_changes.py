"""The largest changes, found by counting: the same as by sorting all of them, whatever the tensors and the ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffclient.diff.streams import CHUNK
from diffclient.tensors.tensor_table import TensorSpec
from diffserver.checkpoints.changes import Change
from diffserver.checkpoints.largest_changes import Changes
from diffserver.checkpoints.quantise import wanted_change

UNITS = st.integers(-(1 << 24), 1 << 24)
TIES = st.sampled_from([-3, -1, 0, 1, 2, 300])


def changes_of(tensors: list[list[int]]) -> Changes:
    """Tensors on grids of their own, that move from 0 by whole units."""
    specs = [TensorSpec(f"w{number}", (len(units),), "F32", 20 + number) for number, units in enumerate(tensors)]
    new = [np.array(units, np.int32) for units in tensors]
    return Changes([wanted_change(Change(spec, np.zeros_like(to), to)) for spec, to in zip(specs, new, strict=True)])


@settings(max_examples=200)
@given(st.lists(st.lists(st.one_of(UNITS, TIES), min_size=1, max_size=30), min_size=1, max_size=4), st.data())
def test_they_are_those_that_sorting_finds(tensors: list[list[int]], data: st.DataObject) -> None:
    changes = changes_of(tensors)
    ranked = sorted(
        ((-abs(unit) * 2.0**-number, number, place) for number, units in enumerate(tensors) for place, unit in
         enumerate(units) if unit),
    )  # fmt: skip
    assert changes.count == len(ranked)
    if not ranked:
        return
    for count in data.draw(st.lists(st.integers(1, len(ranked)), min_size=1, max_size=3)):
        largest = changes.largest(count)
        held = [tensor for tensor in largest.tensors if tensor]
        chosen = {
            (number, int(place))
            for number, (tensor, mask) in enumerate(zip(held, largest.masks(count), strict=True))
            for place in tensor.positions[mask]
        }
        assert chosen == {(number, place) for _, number, place in ranked[:count]}


@given(st.lists(UNITS, min_size=1, max_size=40), st.integers(4, 7), st.integers(-30, 6))
def test_those_above_a_step_are_counted(units: list[int], mantissa: int, power: int) -> None:
    size = mantissa * 2.0**power
    assert changes_of([units]).above(size) == sum(abs(unit) * 2.0**-20 > size for unit in units)


@pytest.mark.parametrize("count", [1, 700, 5000])
def test_few_are_held_of_a_tensor_of_several_chunks(count: int) -> None:
    units = np.random.default_rng(0).integers(-9000, 9000, CHUNK + 5000)
    largest = changes_of([units.tolist()]).largest(count)
    (tensor,) = largest.tensors
    assert tensor is not None
    assert count <= len(tensor.positions) <= 1.25 * count
    (mask,) = largest.masks(count)
    expected = np.sort(np.argsort(-np.abs(units), kind="stable")[:count])
    assert np.array_equal(tensor.positions[mask], expected)
