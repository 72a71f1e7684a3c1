"""Linear layers whose matrices are int8 with a scale, as devices hold them; and a model's own layers made into these.

Training them in whole int8 steps is left to `sparse` and `hashed`.
"""

from __future__ import annotations

from collections import Counter
from typing import TypeVar

import torch
from torch import Tensor, nn

LARGEST = 127
"""The largest int8 number, on either side of zero, that a scale is chosen for."""

Model = TypeVar("Model", bound=nn.Module)


class Int8Linear(nn.Module):
    """A linear layer with the tensors `weight` (int8 `[outputs, inputs]`), `weight_scale` and `bias` (float32)."""

    weight: Tensor
    weight_scale: Tensor

    def __init__(self, weight: Tensor, scale: Tensor, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("weight_scale", scale)
        self.bias = bias

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the layer's outputs, float32 `[…, outputs]`; its graph for devices holds the matrix in int8."""
        return nn.functional.linear(inputs, self.weight.float() * self.weight_scale, self.bias)


def to_int8(model: Model, *, per_channel: bool = False, headroom: float = 2.0) -> Model:
    """Round the matrices of a model's linear layers to int8, in place, and return the model.

    Args:
        model: What devices are to hold; a matrix that is tied to another layer's stays fp32.
        per_channel: A scale for each output of a layer, and not one for the whole of it, which leaves most rows room.
        headroom: The room that diffs get: the largest weight becomes 127 divided by it. 1 is what dynamic quantisation
            does; then what is largest can only shrink. Each doubling rounds the weights twice as coarsely.
    """
    named = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear and named[id(child.weight)] == 1:
                setattr(module, name, _quantised(child, per_channel, headroom))
    return model


@torch.no_grad()
def _quantised(layer: nn.Linear, per_channel: bool, headroom: float) -> Int8Linear:
    sizes = layer.weight.abs()
    largest = sizes.amax(1, keepdim=True) if per_channel else sizes.amax().view(1)
    scale = (largest * headroom / LARGEST).clamp_(min=torch.finfo(torch.float32).tiny)
    return Int8Linear((layer.weight / scale).round_().to(torch.int8), scale, layer.bias)
