"""The weights of a network that can be trained: fp32 parameters; and notes on all that stays as it is.

Version 0 learns running statistics, too, and no diff after it. Other states travel as checkpoints, which nothing here
trains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from diffclient.tensors.float_bits import bits_of
from diffserver.methods.method import Weights
from diffserver.methods.parametrised import statistics
from diffserver.tasks.errors import TaskError
from diffserver.training.state_arrays import State

NAMED = 5
"""The most tensors that a line names."""

_REMEDY = "keep them in fp32, and train under torch.autocast, or train elsewhere and pass --from-checkpoint"


def require_trainable(network: nn.Module, *, first: bool) -> None:
    """Raise TaskError unless the network has fp32 parameters; for the `first` version all have to be fp32."""
    parameters = dict(network.named_parameters())
    if not parameters:
        raise TaskError("the network has no weights")
    others = _of_other_dtypes(network)
    if others and (first or len(others) == len(parameters)):
        raise TaskError(f"the network cannot be trained: no float32: {_listed(others)}: {_REMEDY}")


def require_unmoved(weights: Weights, state: State) -> None:
    """Raise TaskError if training has changed a tensor that is no parameter, which no diff carries."""
    for name in sorted(state.constants & weights.keys()):
        if not np.array_equal(bits_of(state.arrays[name]), bits_of(weights[name])):
            raise TaskError(
                f"training changed {name}, which no trained diff carries: keep it as it is in training, or train "
                "elsewhere and pass --from-checkpoint"
            )


def untrained(network: nn.Module) -> Iterator[str]:
    """Yield a line on each kind of tensor that a trained diff leaves as it is, though one might expect otherwise."""
    if held := statistics(network):
        yield f"stay the parent's, for no trained diff carries running statistics: {_listed(held)}"
    if others := _of_other_dtypes(network):
        yield f"stay the parent's, for only fp32 is trained: {_listed(others)}"


def _of_other_dtypes(network: nn.Module) -> list[str]:
    return [name for name, parameter in network.named_parameters() if parameter.dtype != torch.float32]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
