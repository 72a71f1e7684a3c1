"""Read ONNX Runtime's own format, .ort: the nodes and the constant tensors of a graph and of the graphs inside it.

Needs onnxruntime, whose tools know the format, and flatbuffers, which comes with it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffclient.tensors.snapshot import Array

_DTYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16"}
"""By ONNX's numbers."""


@dataclass(frozen=True)
class Node:
    """One operation."""

    operator: str
    path: tuple[str, ...]
    """The modules of the network that it was exported from, without the operation's own name."""
    inputs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class OrtFile:
    """All that a file holds, whichever graph it is in."""

    nodes: tuple[Node, ...]
    tensors: dict[str, Array]

    @staticmethod
    def read(data: bytes) -> OrtFile:
        """Read a file's bytes; raises ValueError where a name stands for two different tensors."""
        graphs = list(_graphs(_session_type().GetRootAsInferenceSession(bytearray(data), 0).Model().Graph()))
        tensors: dict[str, Array] = {}
        for name, array in (item for graph in graphs for item in _tensors(graph)):
            if array.size > 1 and not np.array_equal(tensors.setdefault(name, array), array):
                raise ValueError(f"{name} stands for two tensors")
            tensors.setdefault(name, array)
        return OrtFile(tuple(node for graph in graphs for node in _nodes(graph)), tensors)


def _session_type() -> Any:
    found = importlib.util.find_spec("onnxruntime")
    assert found is not None
    assert found.origin is not None
    sys.path.append(str(Path(found.origin).parent / "tools" / "ort_format_model"))  # packaged, but by no name
    try:
        from ort_flatbuffers_py.fbs.InferenceSession import InferenceSession
    finally:
        sys.path.pop()
    return InferenceSession


def _graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph, and those that its nodes choose from."""
    yield graph
    for node in _each(graph.Nodes, graph.NodesLength()):
        for attribute in _each(node.Attributes, node.AttributesLength()):
            if attribute.G() is not None:
                yield from _graphs(attribute.G())


def _nodes(graph: Any) -> Iterator[Node]:
    for node in _each(graph.Nodes, graph.NodesLength()):
        path = node.Name().decode().strip("/").split("/")[:-1]
        names = tuple(name.decode() for name in _each(node.Inputs, node.InputsLength()))
        yield Node(node.OpType().decode(), tuple(path), names)


def _tensors(graph: Any) -> Iterator[tuple[str, Array]]:
    for tensor in _each(graph.Initializers, graph.InitializersLength()):
        if tensor.DataType() in _DTYPES and tensor.RawDataLength():
            sides = list(_each(tensor.Dims, tensor.DimsLength()))
            flat = np.frombuffer(tensor.RawDataAsNumpy().tobytes(), _DTYPES[tensor.DataType()])
            yield tensor.Name().decode(), flat.reshape(sides)


def _each(getter: Any, count: int) -> Iterator[Any]:
    return map(getter, range(count))
