"""Tensors entered part by part: the same tables and weights as `enter_grid` makes of arrays in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diffclient.diff.streams import CHUNK
from diffclient.errors import RangeError
from diffclient.tensors.snapshot import enter_grid, write_pieces, write_snapshot
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.checkpoints.tensors.entry import enter
from tests.server.checkpoint_files import mixed, save, write


def test_every_dtype_enters_as_it_does_in_memory(tmp_path: Path) -> None:
    checkpoint = Checkpoint(write(tmp_path / "c", mixed(3)))
    entries = [enter(checkpoint, spec, ("off",), ()) for spec in checkpoint.table]
    table, arrays = enter_grid(
        {name: array for name, (_, array) in mixed(3).items()},
        off_grid=("off",),
        dtypes={name: dtype for name, (dtype, _) in mixed(3).items()},
    )
    assert tuple(entry.spec for entry in entries) == table
    digest = write_pieces(tmp_path / "pieces", table, (entry.pieces() for entry in entries))
    assert digest == write_snapshot(tmp_path / "whole", table, [arrays[spec.name] for spec in table])
    assert (tmp_path / "pieces").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("place", [0, CHUNK + 2])
def test_the_largest_weight_of_any_chunk_chooses_the_grid(tmp_path: Path, place: int) -> None:
    weights = np.full(CHUNK + 7, 0.25, np.float32)
    weights[place] = -3.5
    checkpoint = Checkpoint(save(tmp_path / "c", {"w": weights}))
    (entry,) = [enter(checkpoint, spec, (), ()) for spec in checkpoint.table]
    assert entry.spec.grid == enter_grid({"w": weights})[0][0].grid
    assert [len(piece) for piece in entry.pieces()] == [CHUNK, 7]
    assert entry.rounding is not None
    assert (entry.rounding.most, entry.rounding.largest) == (0, 3.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_for_constants_alone(tmp_path: Path, bad: float) -> None:
    weights = np.zeros(CHUNK + 7, np.float32)
    weights[-1] = bad
    checkpoint = Checkpoint(save(tmp_path / "c", {"w": weights}))
    (spec,) = checkpoint.table
    with pytest.raises(RangeError, match="w: the tensor holds a weight that is not finite"):
        enter(checkpoint, spec, (), ())
    assert enter(checkpoint, spec, (), ("w",)).spec.grid is None
