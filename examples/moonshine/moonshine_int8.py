"""The same task for devices that hold Moonshine's matrices as int8: a quarter of the bytes, trained in whole steps."""

from __future__ import annotations

import torch
from moonshine import MoonshineTask
from moonshine_network import Moonshine, Table
from torch import Tensor, nn

from diffserver.diffs import to_int8

HEADROOM, LARGEST = 2.0, 127
"""What room changes have beyond the largest weight, and int8 itself."""


class Int8Table(nn.Module):
    """The table of tokens as int8 with one scale, in place of the network's."""

    weight: Tensor
    weight_scale: Tensor

    def __init__(self, table: Table) -> None:
        super().__init__()
        with torch.no_grad():
            scale = table.weight.abs().amax().view(1) * HEADROOM / LARGEST
            self.register_buffer("weight", (table.weight / scale).round().to(torch.int8))
            self.register_buffer("weight_scale", scale)

    def forward(self) -> Tensor:
        """Return the table."""
        return self.weight.float() * self.weight_scale


class MoonshineInt8Task(MoonshineTask):
    """Moonshine in int8, but for its convolutions, biases and norms."""

    name = "moonshine-int8"

    def build(self) -> nn.Module:
        """The network, whose weights mean nothing yet."""
        return in_int8(Moonshine(self.config))

    def loaded(self) -> Moonshine:
        """Return the network with the folder's weights, rounded."""
        return in_int8(super().loaded())


def in_int8(network: Moonshine) -> Moonshine:
    """Round a network's matrices to int8, in place, and return it."""
    decoder = network.model.decoder
    assert isinstance(decoder.embed_tokens, Table)
    decoder.embed_tokens = Int8Table(decoder.embed_tokens)
    return to_int8(network, headroom=HEADROOM)
