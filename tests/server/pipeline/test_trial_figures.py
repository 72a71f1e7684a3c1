"""The figures of a diff in a trial: levels are counted over all tensors, steps are weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diffclient.diff.streams import Diff, Exact, Hashed, Sparse, Stream
from diffclient.payload.decode import decode
from diffclient.payload.encode import encode
from diffclient.tensors.tensor_table import TensorSpec
from diffserver.pipeline.trial_figures import Shape, shape_of
from tests.factories import hashed_diff, sparse_diff, write_version

TABLE = (
    TensorSpec("a", (10,), "F32", 20),
    TensorSpec("b", (10,), "F32", 10),
    TensorSpec("c", (10,), "F16", None),
    TensorSpec("d", (10,), "I8", None),
)


def sparse(*levels: int, step: int, exponent: int | None = None) -> Sparse:
    return Sparse(np.arange(len(levels)), np.array(levels, np.int32), step, exponent)


def shape(kind: str, *streams: Stream | None) -> Shape:
    return shape_of(Diff(kind, (*streams, *[None] * (4 - len(streams)))), TABLE)  # type: ignore[arg-type]


def test_levels_are_counted_once_and_steps_are_weights() -> None:
    found = shape("sparse", sparse(1, -1, 3, step=2**12), sparse(1, 2, step=1), sparse(-1, step=3, exponent=5))
    assert found == Shape(4, (2**-10, 3 / 32))
    assert shape("hashed", Hashed(np.array([0, 5, 0, -5], np.int32), 1)) == Shape(3, (2**-20, 2**-20))
    assert shape("sparse", None, None, None, sparse(1, step=2)) == Shape(1, (2.0, 2.0))


def test_a_diff_without_steps_has_none() -> None:
    assert shape("sparse") == Shape(0, None)
    assert shape("exact", Exact(np.arange(3), np.array([7, 7, -1]))) == Shape(2, None)


def test_a_payload_has_the_shape_of_its_diff(tmp_path: Path) -> None:
    version = write_version(tmp_path / "0")
    for diff in (sparse_diff(version.table), hashed_diff(version.table)):
        read = decode(encode(diff, version.table, version.digest), version.table, version.digest)
        assert shape_of(read, version.table) == shape_of(diff, version.table)
        assert shape_of(read, version.table).levels > 5
