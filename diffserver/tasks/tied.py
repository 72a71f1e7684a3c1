"""Tied weights: tensors that a network has under several names."""

from __future__ import annotations

from itertools import chain

from torch import nn


def other_names(network: nn.Module) -> dict[str, str]:
    """Return the further names of tensors that have several, each with the first one."""
    first: dict[int, str] = {}
    others: dict[str, str] = {}
    parameters, buffers = (named(remove_duplicate=False) for named in (network.named_parameters, network.named_buffers))
    for name, tensor in chain(parameters, buffers):
        first_name = first.setdefault(id(tensor), name)
        if first_name != name:
            others[name] = first_name
    return others
