"""Percentiles: in order, within the values, blind to the devices' order, and silent about few."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffserver.gate.percentiles import LEAST, RANKS, percentiles

MANY = st.lists(st.floats(-100, 100), min_size=LEAST, max_size=200)


@given(MANY)
def test_they_are_in_order_and_within_the_values(values: list[float]) -> None:
    found = percentiles(values)
    assert found.values is not None
    assert list(found.values) == [str(rank) for rank in RANKS]
    # Between two equal numbers an interpolation may round.
    told = [min(values), *found.values.values(), max(values)]
    assert all(low <= high + 1e-9 for low, high in pairwise(told))


@given(MANY, st.integers())
def test_the_order_of_devices_plays_no_part(values: list[float], seed: int) -> None:
    mixed = random.Random(seed).sample(values, len(values))
    assert percentiles(mixed) == percentiles(values)


def test_they_are_those_of_a_hundred_and_one_devices() -> None:
    assert percentiles([*range(101)]).values == {str(rank): rank for rank in RANKS}


@pytest.mark.parametrize("devices", [0, 1, LEAST - 1])
def test_few_devices_make_none(devices: int) -> None:
    found = percentiles([1.0] * devices)
    assert (found.devices, found.values) == (devices, None)
