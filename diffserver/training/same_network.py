"""Require that a task's network is the published one: it has a version's tensors, and computes what its graph does.

Equal bytes are equal graphs. Exporters of other releases write the same graph in other words, so graphs that differ are
run on random inputs, both with the version's weights.
"""

from __future__ import annotations

from collections import Counter

import onnx
from torch import nn

from diffclient.errors import InferenceError
from diffclient.measure.onnx_session import load
from diffclient.tensors.snapshot import Snapshot
from diffserver.checkpoints.same_outputs import differing_output
from diffserver.errors import CheckpointError
from diffserver.methods.parametrised import tensors
from diffserver.tasks import Task, TaskError
from diffserver.training.state_arrays import differing_tensors

NAMED = 5
"""The most differences that a message names."""

_REMEDY = "train with the network that the model's base was made with, or make a model of another name: diffserver base"


def require_same_network(task: Task, network: nn.Module, version: Snapshot, graph: bytes) -> None:
    """Raise TaskError, which names the differences, unless the network is that of the version with this graph."""
    differences = list(differing_tensors(version.table, tensors(network)))
    if not differences and (in_graph := _difference_in_graph(task.graph(network), version, graph)):
        differences = [in_graph]
    if differences:
        more = f" and {len(differences) - NAMED} more" if len(differences) > NAMED else ""
        listed = "; ".join(differences[:NAMED])
        raise TaskError(f"the network of the task {task.name} is not the published one: {listed}{more}: {_REMEDY}")


def _difference_in_graph(own: bytes, version: Snapshot, published: bytes) -> str | None:
    """Return how a network's graph differs from the published one; None if both compute the same."""
    if own == published:
        return None
    here, there = onnx.load_from_string(own).graph, onnx.load_from_string(published).graph
    if _sides(here) != _sides(there):
        return f"its graph has {_sides(here)}, the published one {_sides(there)}"
    if _compute_the_same(own, published, version):
        return None
    more, fewer = _operators(here) - _operators(there), _operators(there) - _operators(here)
    if more or fewer:
        return f"its graph has {_counted(more)}, the published one {_counted(fewer)} in place of that"
    return "its graph has the same operators as the published one, and gives other outputs"


def _compute_the_same(own: bytes, published: bytes, version: Snapshot) -> bool:
    """Tell whether two graphs give the same outputs; where none can be had, whether they have the same operators."""
    weights = {spec.name: (version.read(spec.name), spec.dtype) for spec in version.table}
    try:
        return differing_output(load(published, weights), load(own, weights), "the published graph") is None
    except (CheckpointError, InferenceError):
        first, second = (_operators(onnx.load_from_string(graph).graph) for graph in (own, published))
        return first == second


def _sides(graph: onnx.GraphProto) -> str:
    return f"the inputs {', '.join(value.name for value in graph.input)} and {len(graph.output)} outputs"


def _operators(graph: onnx.GraphProto) -> Counter[str]:
    return Counter(node.op_type for node in graph.node)


def _counted(operators: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(operators.items())) or "none"
