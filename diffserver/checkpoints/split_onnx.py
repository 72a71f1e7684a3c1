"""Split an ONNX model into its graph and its weights, and compare what both compute to check the split.

All values that are no shapes or indices are weights, also those of constants and of graphs inside nodes. The weights
of a later version take the names in the published graph, by the nodes that use them.
"""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffclient.measure.onnx_session import OUTSIDE
from diffclient.tensors.snapshot import Array
from diffserver.checkpoints.same_outputs import require_same_outputs
from diffserver.checkpoints.write_safetensors import write
from diffserver.errors import CheckpointError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

KINDS = {1: "F32", 2: "U8", 3: "I8", 5: "I16", 6: "I32", 10: "F16", 11: "F64", 16: "BF16"}
"""ONNX's numbers of the dtypes that weights have. What is int64 or bool is a shape, an index or a flag, and stays."""

NEW_GRAPH = "pass --kind snapshot if it is the next version of the model: every device then fetches it whole"


def split(path: Path, out: Path, published: bytes | None = None) -> bytes:
    """Write a model's weights to `out`, and return its graph, or the published one that they fit.

    Raises CheckpointError if the file is no ONNX model, if graph and weights do not compute what it computes, or if it
    is not of the published graph.
    """
    model = _load(path)
    _lift(model.graph)
    if published is None:
        weights = {tensor.name: tensor for tensor in model.graph.initializer if _is_weight(tensor)}
        graph = _without(model, weights)
    else:
        weights, graph = _under_names_of(published, model), published
    if not weights:
        raise CheckpointError(f"{path.name} has no weights inside", "pass the model with its weights")
    ordered = sorted(weights.items())
    items = [(name, KINDS[tensor.data_type], tuple(tensor.dims)) for name, tensor in ordered]
    write(out, items, (_array(tensor) for _, tensor in ordered))
    require_same_outputs(path, graph, {name: (_array(tensor), KINDS[tensor.data_type]) for name, tensor in ordered})
    return graph


def _load(path: Path) -> "ModelProto":
    try:
        import onnx
    except ImportError as error:
        remedy = "pip install 'diffserver[train]', or pass safetensors"
        raise CheckpointError(f"reading {path.name} needs onnx", remedy) from error
    try:
        model: ModelProto = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's and onnx's own share no base
        raise CheckpointError(
            f"{path.name} is no whole ONNX model: {' '.join(str(error).split())[:200]}", ""
        ) from error
    return model


def _is_weight(tensor: "TensorProto") -> bool:
    """Tell weights from what the graph has to know: a number without a side may be a bound or a scale."""
    return tensor.data_type in KINDS and bool(tensor.dims) and int(np.prod(tensor.dims)) > 0


def _lift(graph: "GraphProto") -> None:
    """Make initialisers of the outermost graph of all weights: of constants, and of graphs inside nodes."""
    names = {tensor.name for tensor in graph.initializer}
    for inside, where in _graphs(graph, ""):
        renamed = {}
        tensors = [*_constants(inside), *(inside.initializer if inside is not graph else ())]
        for tensor in filter(_is_weight, list(tensors)):
            name = tensor.name if tensor.name not in names else f"{where}{tensor.name}"
            names.add(name)
            renamed[tensor.name] = name
            graph.initializer.add().CopyFrom(tensor)
            graph.initializer[-1].name = name
        _remove(inside, graph, set(renamed))
        _rename(inside, {old: new for old, new in renamed.items() if old != new})


def _graphs(graph: "GraphProto", where: str) -> Iterator[tuple["GraphProto", str]]:
    """Yield a graph and all graphs inside it, each with a name for its place."""
    yield graph, where
    for number, node in enumerate(graph.node):
        for attribute in node.attribute:
            for inside in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                yield from _graphs(inside, f"{where}{number}.{attribute.name}.")


def _constants(graph: "GraphProto") -> Iterator["TensorProto"]:
    """Yield the tensors of constant nodes, named as what the nodes put out."""
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            node.attribute[0].t.name = node.output[0]
            yield node.attribute[0].t


def _remove(inside: "GraphProto", graph: "GraphProto", names: set[str]) -> None:
    """Remove the constants of these names, and from graphs inside the initialisers; raises CheckpointError."""
    if put_out := sorted(names & {value.name for value in inside.output}):
        raise CheckpointError(f"{put_out[0]} is a constant that the model puts out", "export the model without it")
    kept = [node for node in inside.node if node.op_type != "Constant" or node.output[0] not in names]
    del inside.node[:]
    inside.node.extend(kept)
    if inside is not graph:
        tensors = [tensor for tensor in inside.initializer if tensor.name not in names]
        del inside.initializer[:]
        inside.initializer.extend(tensors)


def _rename(graph: "GraphProto", names: Mapping[str, str]) -> None:
    """Give the inputs of all nodes of a graph, and of those inside it, other names."""
    for inside, _ in _graphs(graph, ""):
        for node in inside.node:
            node.input[:] = [names.get(name, name) for name in node.input]


def _without(model: "ModelProto", weights: Mapping[str, Any]) -> bytes:
    """Return the graph with its weights outside, as devices read it."""
    import onnx

    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    for tensor in bare.graph.initializer:
        if tensor.name in weights:
            name, dims, kind = tensor.name, list(tensor.dims), tensor.data_type
            tensor.Clear()
            tensor.name, tensor.data_type, tensor.data_location = name, kind, onnx.TensorProto.EXTERNAL
            tensor.dims.extend(dims)
            tensor.external_data.add(key="location", value=OUTSIDE)
    inputs = [value for value in bare.graph.input if value.name not in weights]
    del bare.graph.input[:]
    bare.graph.input.extend(inputs)
    return bytes(bare.SerializeToString(deterministic=True))


def _under_names_of(published: bytes, model: "ModelProto") -> dict[str, "TensorProto"]:
    """Return a model's weights under the names that the published graph has; raises CheckpointError."""
    import onnx

    graph = onnx.ModelProto.FromString(published).graph
    expected = [tensor for tensor in graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    own, renamed = {tensor.name: tensor for tensor in model.graph.initializer}, {}
    unplaced = {tensor.name for tensor in expected}
    for old, new in zip_longest(_nodes(graph), _nodes(model.graph)):
        if old is None or new is None or (old.op_type, len(old.input)) != (new.op_type, len(new.input)):
            node_name = (old or new).name or (old or new).op_type
            raise CheckpointError(f"the model has another graph than the published one, from {node_name} on", NEW_GRAPH)
        for before, after in zip(old.input, new.input, strict=True):
            if before in unplaced and after in own:
                renamed[before] = own[after]
    for tensor in expected:
        match = renamed.get(tensor.name) or own.get(tensor.name)
        if match is None or (match.data_type, list(match.dims)) != (tensor.data_type, list(tensor.dims)):
            raise CheckpointError(f"the model has no weight for {tensor.name} of the published graph", NEW_GRAPH)
        renamed[tensor.name] = match
    return renamed


def _nodes(graph: "GraphProto") -> Iterator["NodeProto"]:
    for inside, _ in _graphs(graph, ""):
        yield from inside.node


def _array(tensor: "TensorProto") -> Array:
    """Return a tensor's values; bf16 as uint16."""
    from onnx import numpy_helper

    array = np.asarray(numpy_helper.to_array(tensor))
    return array.view(np.uint16) if KINDS[tensor.data_type] == "BF16" else array
