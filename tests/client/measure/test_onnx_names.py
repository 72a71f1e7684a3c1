"""Initialisers that no node takes: found in every part of a graph, and nothing else in it is believed."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from diffclient.errors import InferenceError
from diffclient.measure.onnx_names import unused_initialisers


def model() -> ModelProto:
    """Takes `used`, `inside` in both branches of an If, puts `out` through, and leaves `pooler` alone."""
    names = ("used", "inside", "out", "pooler", "flag")
    weights = [numpy_helper.from_array(np.ones(2, "f4") if name != "flag" else np.array(True), name) for name in names]
    branch = helper.make_graph(
        [helper.make_node("Identity", ["inside"], ["b"])],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, [2])],
    )
    nodes = [
        helper.make_node("If", ["flag"], ["c"], then_branch=branch, else_branch=branch),
        helper.make_node("Add", ["c", "used"], ["sum"]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("sum", "out")]
    return helper.make_model(helper.make_graph(nodes, "g", [], outputs, weights))


def test_what_no_node_takes_is_found() -> None:
    assert unused_initialisers(model().SerializeToString()) == {"pooler"}


@pytest.mark.parametrize("broken", [b"not a graph", b"\x3a\xff", b"\xff" * 12, model().SerializeToString()[:-5]])
def test_other_bytes_are_a_typed_error(broken: bytes) -> None:
    with pytest.raises(InferenceError, match="no ONNX"):
        unused_initialisers(broken)
