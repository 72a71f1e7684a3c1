"""A network's state as the arrays, dtypes and constants with which weights enter a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from diffclient.tensors.snapshot import Array
from diffserver.checkpoints.tensor_array import as_array
from diffserver.methods.parametrised import tensors


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
    there = tensors(network)
    arrays = {name: as_array(tensor) for name, tensor in there.items()}
    halves = [name for name, tensor in there.items() if tensor.dtype == torch.bfloat16]
    trained = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    return State(arrays, dict.fromkeys(halves, "BF16"), frozenset(there.keys() - trained))
