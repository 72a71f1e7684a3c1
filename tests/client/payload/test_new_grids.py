from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclient.errors import PayloadError
from diffclient.payload import leb128, new_grids
from diffclient.tensors.tensor_table import Table, TensorSpec

exponents = st.integers(-100, 126)


@st.composite
def moves(draw: st.DrawFn) -> tuple[Table, list[bool], dict[int, int | None]]:
    """A table, which of its tensors are touched, and new grids for some of these."""
    before = draw(st.lists(exponents | st.none(), max_size=12))
    touched = draw(st.lists(st.booleans(), min_size=len(before), max_size=len(before)))
    grids: dict[int, int | None] = {}
    for number, grid in enumerate(before):
        if grid is not None and touched[number] and draw(st.booleans()):
            grids[number] = draw(st.integers(-100, grid - 1) | st.none()) if grid > -100 else None
    return tuple(TensorSpec(f"{number:02}", (1,), "F32", grid) for number, grid in enumerate(before)), touched, grids


@given(moves())
def test_new_grids_come_back(case: tuple[Table, list[bool], dict[int, int | None]]) -> None:
    table, touched, grids = case
    written = new_grids.write(grids, table, touched)
    assert len(written) == sum(spec.grid is not None and touch for spec, touch in zip(table, touched, strict=True))
    numbers = leb128.Reader(leb128.write(written))
    assert new_grids.read(numbers, table, touched) == grids
    numbers.finish()


@given(exponents, st.integers(1, 1 << 40))
def test_a_grid_below_the_coarsest_is_refused(grid: int, beyond: int) -> None:
    numbers = leb128.Reader(leb128.write([1 + grid + 100 + beyond]))
    with pytest.raises(PayloadError, match="w: grid"):
        new_grids.read(numbers, (TensorSpec("w", (1,), "F32", grid),), [True])
