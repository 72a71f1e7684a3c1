"""Stages and steps."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffclient.tensors.arithmetic import LIMIT
from diffserver.methods.quantiser import Grid, Stages, Step, in_range, straight_through


def test_every_stage_begins_once() -> None:
    stages = Stages(4)
    assert [step / 12 for step in range(13) if stages.begins(step / 12)] == [0, 0.25, 0.5, 0.75, 1.0]


@given(st.floats(1e-9, 1e3), st.integers(0, 30), st.integers(2, 8))
def test_a_step_is_a_whole_number_of_grid_units(value: float, grid: int, significant: int) -> None:
    step = Step.near(value, Grid.of_exponent(grid), significant)
    assert step.units >= 1
    assert step.value == math.ldexp(step.units, -grid)
    assert step.units in (1, LIMIT) or step.value == pytest.approx(value, rel=1 / 3)
    assert step.units % (1 << max(0, step.units.bit_length() - significant)) == 0


def test_gradients_go_straight_through() -> None:
    values = torch.tensor([0.2, -1.4], requires_grad=True)
    used = straight_through(values.detach().round(), values)
    assert used.tolist() == [0, -1]
    (used * torch.tensor([3.0, 5.0])).sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert values.grad.tolist() == [3, 5]


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20),
    st.integers(-(1 << 24), 1 << 24),
    st.integers(1, LIMIT),
    st.integers(-3, 24),
)
def test_levels_in_range_lead_to_no_weight_beyond_the_grid(
    shares: list[float], parent: int, units: int, grid: int
) -> None:
    step = Step.of(units, Grid.of_exponent(grid))
    levels = (torch.tensor(shares) * (3 * LIMIT / units)).round()
    bounded_levels = in_range(levels, torch.full_like(levels, math.ldexp(parent, -grid)), step, Grid.of_exponent(grid))
    sums = parent + bounded_levels.double() * units
    changed = bounded_levels != levels
    assert bool((sums.abs() <= LIMIT).all())
    assert bool((bounded_levels.abs() <= levels.abs()).all())
    assert bool((bounded_levels * levels >= 0).all())
    assert bool(((parent + levels.double() * units).abs()[changed] > LIMIT - 600 - units).all())
