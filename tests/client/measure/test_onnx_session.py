"""Running a graph with weights from outside: any dtype, and what does not fit is told as an error of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from diffclient.errors import InferenceError
from diffclient.measure.onnx_session import Session
from diffclient.tensors.snapshot import Array, Snapshot, enter_grid, write_snapshot
from tests.client import speech, sums

BIAS = np.array([1, 2, -4])
VALUE = np.array([[0.5, 0.5, 0.5]], np.float32)


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        ("f4", TensorProto.FLOAT), ("f2", TensorProto.FLOAT16), ("f8", TensorProto.DOUBLE), ("i1", TensorProto.INT8),
        ("i4", TensorProto.INT32), ("i8", TensorProto.INT64), ("?", TensorProto.BOOL),
    ],
)  # fmt: skip
def test_weights_of_every_dtype_reach_the_graph(tmp_path: Path, dtype: str, kind: int) -> None:
    session = Session(sums.graph(kind), sums.version(tmp_path / "w", BIAS.astype(dtype)))
    [found] = session.run({"value": VALUE})
    assert found.tolist() == (VALUE + BIAS.astype(dtype)).tolist()


def test_bfloat16_reaches_the_graph_as_its_bits(tmp_path: Path) -> None:
    bits = (BIAS.astype("f4").view("u4") >> 16).astype("u2")
    session = Session(sums.graph(TensorProto.BFLOAT16), sums.version(tmp_path / "w", bits, bfloat16=True))
    assert session.run({"value": VALUE})[0].tolist() == (VALUE + BIAS).tolist()


@pytest.mark.parametrize("broken", [b"", b"not a graph", sums.graph()[:-10]], ids=["empty", "foreign", "truncated"])
def test_a_broken_graph_is_a_typed_error(tmp_path: Path, broken: bytes) -> None:
    with pytest.raises(InferenceError, match="does not run with these weights"):
        Session(broken, sums.version(tmp_path / "w", BIAS.astype("f4")))


def weights(**changed: Array | None) -> dict[str, Array]:
    """The recogniser's weights, but for some."""
    drawn = {name: np.ones(shape, np.float32) for name, shape in speech.SHAPES.items()} | changed
    return {name: array for name, array in drawn.items() if array is not None}


@pytest.mark.parametrize(
    "tensors",
    [
        weights(matrix=None),
        weights(matrix=np.zeros((2, 2), np.float32)),
        weights(bias=np.zeros(speech.SHAPES["bias"], np.int32)),
        weights(more=np.zeros(3, np.float32)),
    ],
    ids=["a tensor is missing", "another shape", "another dtype", "a tensor too many"],
)
def test_weights_of_another_model_are_a_typed_error(tmp_path: Path, tensors: dict[str, Array]) -> None:
    table, arrays = enter_grid(tensors)
    write_snapshot(tmp_path / "w", table, [arrays[spec.name] for spec in table])
    with pytest.raises(InferenceError, match="does not run with these weights"):
        Session(speech.graph(), Snapshot(tmp_path / "w"))


@pytest.mark.parametrize(
    "inputs", [{}, {"other": VALUE}, {"value": VALUE[:, :2]}, {"value": VALUE.astype("f8")}, {"value": "text"}]
)
def test_inputs_that_do_not_fit_are_a_typed_error(tmp_path: Path, inputs: dict[str, Any]) -> None:
    session = Session(sums.graph(), sums.version(tmp_path / "w", BIAS.astype("f4")))
    with pytest.raises(InferenceError, match="does not run on these inputs"):
        session.run(inputs)
