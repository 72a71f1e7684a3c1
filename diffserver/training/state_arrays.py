"""A network's state as the arrays, dtypes and constants with which weights enter a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from diffclient.tensors.snapshot import Array
from diffserver.tasks.tied import other_names


@dataclass(frozen=True, eq=False)
class State:
    """The arguments of `enter_grid` for a network."""

    arrays: Mapping[str, Array]
    """By name, in the network's shapes; bf16 as uint16."""
    dtypes: Mapping[str, str]
    """The dtypes that an array's dtype does not show."""
    constants: frozenset[str]
    """Names of tensors that are no parameters, and so may hold infinities: masks, statistics, tables."""


def state_of(network: nn.Module) -> State:
    """Return a network's state dict, tied weights once; its arrays share memory with it where they can."""
    tied = other_names(network)
    tensors = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items() if name not in tied}
    halves = {name for name, tensor in tensors.items() if tensor.dtype == torch.bfloat16}
    arrays = {
        name: tensor.view(torch.int16).numpy().view(np.uint16) if name in halves else tensor.numpy()
        for name, tensor in tensors.items()
    }
    trained = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    return State(arrays, dict.fromkeys(halves, "BF16"), frozenset(tensors.keys() - trained))
