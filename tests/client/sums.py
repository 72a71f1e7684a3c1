"""A model that adds: `sum = value + bias`, a graph small enough to be written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from diffclient.tensors.snapshot import Snapshot, enter_grid, write_snapshot
from tests.client.speech import outside

SIDES = 3


def graph(kind: int = TensorProto.FLOAT) -> bytes:
    """From float32 `[batch, SIDES]` to the same plus a bias of some type."""
    nodes = [
        helper.make_node("Cast", ["bias"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["value", "wide"], ["sum"]),
    ]
    value = helper.make_tensor_value_info("value", TensorProto.FLOAT, ["batch", SIDES])
    total = helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["batch", SIDES])
    model = helper.make_model(
        helper.make_graph(nodes, "sums", [value], [total], [outside("bias", (SIDES,), kind)]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    return bytes(model.SerializeToString())


def version(path: Path, bias: np.ndarray[tuple[int], np.dtype[np.generic]], bfloat16: bool = False) -> Snapshot:
    """The model's weights, on disk."""
    table, arrays = enter_grid({"bias": bias}, dtypes={"bias": "BF16"} if bfloat16 else {})
    write_snapshot(path, table, [arrays["bias"]])
    return Snapshot(path)
