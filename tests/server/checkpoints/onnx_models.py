"""Small ONNX models with their weights inside, as exporters write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from diffclient.tensors.snapshot import Array

POINTS = np.random.default_rng(5).normal(size=(3, 4)).astype("f4")


def model(seed: int, prefix: str = "", more: bool = False) -> bytes:
    """A layer, a constant that is added in one branch of an If and another in the other, and perhaps one more layer."""
    rng = np.random.default_rng(seed)
    matrix, bias = rng.normal(size=(4, 4)).astype("f4"), rng.normal(size=1).astype("f4")
    nodes = [
        helper.make_node("MatMul", ["points", f"{prefix}matrix"], ["product"]),
        helper.make_node("Add", ["product", f"{prefix}bias"], ["sum"]),
        helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
        helper.make_node("If", ["yes"], ["chosen"], then_branch=_branch(rng), else_branch=_branch(rng)),
        helper.make_node("Relu" if more else "Identity", ["chosen"], ["out"]),
    ]
    inputs = [helper.make_tensor_value_info("points", TensorProto.FLOAT, ["batch", 4])]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 4])]
    weights = [numpy_helper.from_array(matrix, f"{prefix}matrix"), numpy_helper.from_array(bias, f"{prefix}bias")]
    graph = helper.make_graph(nodes, "points", inputs, outputs, weights)
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(whole.SerializeToString())


TOKENS = np.array([[3, 141, 59], [26, 5, 35]])


def word_model(seed: int, words: int = 300, more: bool = False) -> bytes:
    """A table of words and a layer over it, which is as much as a text model needs; perhaps with one more node."""
    rng = np.random.default_rng(seed)
    embedding, matrix = (np.random.default_rng(0).normal(size=shape).astype("f4") for shape in ((words, 16), (16, 4)))
    embedding[rng.integers(words, size=20)] += rng.normal(size=(20, 16)).astype("f4")
    nodes = [
        helper.make_node("Gather", ["embedding", "tokens"], ["found"]),
        helper.make_node("MatMul", ["found", "matrix"], ["product"]),
        helper.make_node("Tanh" if more else "Identity", ["product"], ["out"]),
    ]
    inputs = [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "words"])]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", "words", 4])]
    weights = [numpy_helper.from_array(embedding, "embedding"), numpy_helper.from_array(matrix, "matrix")]
    graph = helper.make_graph(nodes, "words", inputs, outputs, weights)
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(whole.SerializeToString())


def _branch(rng: np.random.Generator) -> object:
    """A graph with a constant of its own; both branches call it the same."""
    value = numpy_helper.from_array(rng.normal(size=4).astype("f4"))
    nodes = [
        helper.make_node("Constant", [], ["shift"], value=value),
        helper.make_node("Add", ["sum", "shift"], ["shifted"]),
    ]
    outputs = [helper.make_tensor_value_info("shifted", TensorProto.FLOAT, ["batch", 4])]
    return helper.make_graph(nodes, "branch", [], outputs)


def run_whole(path: Path, **inputs: Array) -> Array:
    """What a model with its weights inside computes, of points if nothing else is given."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, inputs or {"points": POINTS})[0])
