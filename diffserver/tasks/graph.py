"""Export a network as the device's graph: ONNX with named weights but without their values.

The weights enter the export as inputs, so no optimiser can fold them into constants, and become initialisers with
external data. Filling them in from a slot is left to the device.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import Tensor, nn
from torch.func import functional_call

from diffclient.measure.onnx_session import OUTSIDE
from diffclient.tensors.snapshot import Array
from diffserver.tasks.errors import TaskError
from diffserver.tasks.tied import other_names

OPSET = 18


@dataclass(frozen=True)
class Input:
    """One input of the graph; each side is a number or, where it varies, a name."""

    name: str
    sides: tuple[int | str, ...]
    dtype: str = "float32"
    """The dtype's name in numpy and torch: float32, int64, bool, …"""

    def require(self, array: Array) -> None:
        """Raise ValueError unless an array fits this input."""
        sides = zip(array.shape, self.sides, strict=False)
        fits = len(array.shape) == len(self.sides) and all(isinstance(b, str) or a == b for a, b in sides)
        if not fits or array.dtype != self.dtype:
            raise ValueError(f"{self.name} is {array.dtype} {list(array.shape)}, not {self.dtype} {list(self.sides)}")
        if not np.isfinite(array).all():
            raise ValueError(f"{self.name} holds numbers that are not finite")


class _WithWeights(nn.Module):
    """A network as a function of its inputs and its weights."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._call = (network,)  # in a tuple, so that its parameters are not this module's

    def forward(self, inputs: tuple[Tensor, ...], weights: dict[str, Tensor]) -> Any:
        return functional_call(self._call[0], weights, inputs)


def export(
    network: nn.Module,
    inputs: Sequence[Input],
    metadata: Mapping[str, str] | None = None,
    outputs: Sequence[str] | None = None,
) -> bytes:
    """Return the graph of a network with these inputs, in this order, as ONNX bytes; without dropout, as in evaluation.

    `metadata` goes into the graph's metadata_props; `outputs` names the outputs. Raises TaskError if the exporter
    fails.
    """
    tied = other_names(network)
    weights = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items() if name not in tied}
    samples, shapes = _sampled(inputs)
    with _evaluating(network), _quiet():
        try:
            program = torch.onnx.export(
                _WithWeights(network),
                (samples,),
                kwargs={"weights": weights},
                dynamic_shapes={"inputs": shapes, "weights": {name: {} for name in weights}},
                input_names=[*(declared.name for declared in inputs), *weights],
                output_names=outputs,
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except Exception as error:  # the exporter's, or the network's own
            raise TaskError(f"the network does not become a graph for devices: {_root_cause(error)}") from error
    assert program is not None
    model = program.model_proto
    _weights_outside(model, set(weights))
    _strip(model)
    onnx.helper.set_model_props(model, dict(metadata or {}))
    return bytes(model.SerializeToString(deterministic=True))


def _sampled(inputs: Sequence[Input]) -> tuple[tuple[Tensor, ...], tuple[dict[int, Any], ...]]:
    """Return tensors to trace with, and their varying sides."""
    names = dict.fromkeys(side for declared in inputs for side in declared.sides if isinstance(side, str))
    lengths = chain((2,), count(64, 2))  # all different, and none of them special
    varying = {name: (torch.export.Dim(name), length) for name, length in zip(names, lengths, strict=False)}
    samples, shapes = [], []
    for declared in inputs:
        sizes = [varying[side][1] if isinstance(side, str) else side for side in declared.sides]
        samples.append(torch.zeros(sizes, dtype=getattr(torch, declared.dtype)))
        shapes.append({axis: varying[side][0] for axis, side in enumerate(declared.sides) if isinstance(side, str)})
    return tuple(samples), tuple(shapes)


def _root_cause(error: Exception) -> str:
    """Return the innermost cause of an exporter's error, on one line."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return f"{type(cause).__name__}: {' '.join(str(cause).split())[:500]}"


def _weights_outside(model: onnx.ModelProto, names: set[str]) -> None:
    """Turn the inputs of these names into initialisers with external data."""
    inputs = [value for value in model.graph.input if value.name not in names]
    for value in model.graph.input:
        if value.name in names:
            kind = value.type.tensor_type
            tensor = TensorProto(
                name=value.name,
                dims=[side.dim_value for side in kind.shape.dim],
                data_type=kind.elem_type,
                data_location=TensorProto.EXTERNAL,
            )
            tensor.external_data.add(key="location", value=OUTSIDE)
            model.graph.initializer.append(tensor)
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def _strip(model: onnx.ModelProto) -> None:
    """Remove the exporter's debug information, which includes paths of this machine."""
    del model.metadata_props[:], model.graph.value_info[:], model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Put the network into evaluation mode during the block."""
    before = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's warnings, which are for its developers, during the block."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
