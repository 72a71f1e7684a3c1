from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclient.payload.block_classes import NUMBER_LIMIT, Changed, Classes, count, fit, lines
from diffclient.tensors.snapshot import TensorSpec

ROWS, COLUMNS = 60, 80
SPEC = TensorSpec("w", (ROWS, 20, 4, 5), "F32", 20)

numbers = st.lists(st.integers(0, NUMBER_LIMIT), min_size=1, max_size=6).map(lambda values: np.array(values, np.uint8))


@given(numbers, numbers, st.data())
def test_a_blocks_class_is_its_rows_number_plus_its_columns(
    rows: np.ndarray[tuple[int], np.dtype[np.uint8]],
    columns: np.ndarray[tuple[int], np.dtype[np.uint8]],
    data: st.DataObject,
) -> None:
    classes = Classes(rows, columns)
    expected = [int(row) + int(column) for row in rows for column in columns]
    first = data.draw(st.integers(0, len(expected) - 1))
    last = data.draw(st.integers(first, len(expected)))
    assert classes.of(first, last).tolist() == expected[first:last]
    assert classes.count > max(expected)


@pytest.mark.parametrize(
    ("shape", "block", "expected"),
    [
        pytest.param((60, 20, 4, 5), 5, (60, 80), id="kernels"),
        pytest.param((7,), 1, (7, 1), id="vector"),
        pytest.param((7, 3), 2, None, id="rows of no whole number of blocks"),
        pytest.param((), 1, None, id="number"),
        pytest.param((0, 4), 1, None, id="nothing"),
        pytest.param((1 << 16,), 1, None, id="too many lines"),
        pytest.param((1 << 15, (1 << 15) - 1), 1, (1 << 15, (1 << 15) - 1), id="just few enough"),
    ],
)
def test_lines_are_rows_and_columns_of_blocks(
    shape: tuple[int, ...], block: int, expected: tuple[int, int] | None
) -> None:
    assert lines(TensorSpec("w", shape, "F32", 20), block) == expected


def changed(by_row: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Changed:
    """Counts of blocks that hold a change, each row with a share of its own."""
    rng = np.random.default_rng(0)
    blocks = rng.random((ROWS, COLUMNS)) < by_row[:, None]
    counted = count(SPEC, 5, np.array_split(np.flatnonzero(blocks), 3))
    assert counted is not None
    assert counted.rows.tolist() == blocks.sum(1).tolist()
    assert counted.columns.tolist() == blocks.sum(0).tolist()
    return counted


def test_even_changes_have_no_classes() -> None:
    assert fit(changed(np.full(ROWS, 0.3)), 1.0) is None


def test_rows_that_change_more_have_larger_numbers() -> None:
    classes = fit(changed(np.where(np.arange(ROWS) < 20, 0.05, 0.6)), 1.0)
    assert classes is not None
    assert classes.rows[:20].max() < classes.rows[20:].min()
    assert classes.columns.max() == 0


def test_rows_that_do_not_change_at_all_are_a_class() -> None:
    classes = fit(changed(np.where(np.arange(ROWS) % 2, 0.5, 0.0)), 0.5)
    assert classes is not None
    assert set(classes.rows[::2]) == {0}
    assert classes.rows[1::2].min() > 0
    assert classes.rows.max() <= NUMBER_LIMIT
