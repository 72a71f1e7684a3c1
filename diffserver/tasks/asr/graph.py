"""The device's graph: a network as ONNX whose weights are named but not there.

The weights enter the export as inputs, so no optimiser can fold them into constants, and become initialisers whose
data lies outside the file: the device fills them in from its slot.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import onnx
import torch
from onnx import TensorProto
from torch import Tensor, nn
from torch.func import functional_call

from diffclient.recognizer import FEATURES, LENGTHS, OUTSIDE

OPSET = 18


class _WithWeights(nn.Module):
    """The network as a function of features, lengths and its weights."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._call = (network,)  # in a tuple, so that its parameters are not this module's

    def forward(self, features: Tensor, lengths: Tensor, weights: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        result: tuple[Tensor, Tensor] = functional_call(self._call[0], weights, (features, lengths))
        return result


def export(network: nn.Module, features: int, metadata: Mapping[str, str]) -> bytes:
    """The graph of a network that takes float32 `[batch, frames, features]` and int64 `[batch]`, as ONNX bytes.

    `metadata` travels in the graph's metadata_props.
    """
    weights = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    batch, frames = torch.export.Dim("batch"), torch.export.Dim("frames")
    with _quiet():
        program = torch.onnx.export(
            _WithWeights(network).eval(),
            (torch.zeros(2, 64, features), torch.tensor([64, 50])),
            kwargs={"weights": weights},
            dynamic_shapes={
                "features": {0: batch, 1: frames},
                "lengths": {0: batch},
                "weights": {name: {} for name in weights},
            },
            input_names=[FEATURES, LENGTHS, *weights],
            output_names=["scores", "frames_out"],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _weights_outside(model, set(weights))
    _strip(model)
    onnx.helper.set_model_props(model, dict(metadata))
    return bytes(model.SerializeToString(deterministic=True))


def _weights_outside(model: onnx.ModelProto, names: set[str]) -> None:
    """Turns the inputs of these names into initialisers whose data is somewhere else."""
    kept = [value for value in model.graph.input if value.name not in names]
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
    model.graph.input.extend(kept)


def _strip(model: onnx.ModelProto) -> None:
    """Removes what the exporter notes for its developers, paths of this machine among it."""
    del model.metadata_props[:], model.graph.value_info[:], model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints advice that is no user's business."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
