from __future__ import annotations

import numpy as np
import pytest

from diffclient.diff.streams import Kind
from diffclient.payload.read_runs import absolute, contexts, value_range
from diffclient.tensors.arithmetic import LIMIT
from diffclient.tensors.snapshot import TensorSpec


def test_signs_are_relative_to_the_value_before_within_a_block() -> None:
    context = np.array([0, 1, 2, 0, 1], np.uint8)
    assert absolute(np.array([-1, 2, -3, 4, -5]), context).tolist() == [-1, -2, 3, 4, -5]


def test_contexts_tell_first_adjacent_and_apart() -> None:
    positions = np.array([0, 1, 3, 4, 5, 9])
    assert contexts(positions, positions // 5).tolist() == [0, 1, 2, 1, 0, 2]


@pytest.mark.parametrize(
    ("dtype", "grid", "kind", "step", "expected"),
    [
        ("F32", 20, "sparse", 1, (-2 * LIMIT, 2 * LIMIT)),
        ("F32", 20, "hashed", 1000, (-(2 * LIMIT // 1000), 2 * LIMIT // 1000)),
        ("F32", 20, "exact", 1, (-2 * LIMIT, 2 * LIMIT)),
        ("BF16", None, "sparse", 1, (-LIMIT, LIMIT)),
        ("BF16", None, "exact", 1, (-(1 << 15), (1 << 15) - 1)),
        ("I64", None, "exact", 1, (-(1 << 63), (1 << 63) - 1)),
        ("BOOL", None, "exact", 1, (-128, 127)),
    ],
)
def test_values_stay_in_the_range_of_their_tensor(
    dtype: str, grid: int | None, kind: Kind, step: int, expected: tuple[int, int]
) -> None:
    assert value_range(TensorSpec("w", (3,), dtype, grid), kind, step) == expected
