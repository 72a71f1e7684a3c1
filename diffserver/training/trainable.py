"""The weights of a network that can be trained: fp32 parameters, and int8 tensors with scales; notes on all that stays.

Version 0 learns running statistics, too, and no diff after it. Other states travel as checkpoints, which nothing here
trains.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from diffclient.tensors.float_bits import bits_of
from diffserver.checkpoints.int8_scales import SCALE, ZERO_POINT, beside
from diffserver.methods.method import Weights
from diffserver.methods.parametrised import statistics, tensors
from diffserver.tasks.errors import TaskError
from diffserver.training.state_arrays import State

NAMED = 5
"""The most tensors that a line names."""

_REMEDY = "keep them in fp32, and train under torch.autocast, or train elsewhere and pass --from-checkpoint"


def require_trainable(network: nn.Module, *, first: bool) -> None:
    """Raise TaskError unless the network has weights to train; of the `first` version all have to be such."""
    scaled = _with_scales(network)
    trained = [name for name, parameter in network.named_parameters() if parameter.dtype == torch.float32]
    others = _that_stay(network, scaled)
    if others and (first or not (scaled or trained)):
        listed = _listed(others)
        raise TaskError(f"the network cannot be trained: no float32, and no int8 with a scale: {listed}: {_REMEDY}")
    if not scaled and not trained:
        raise TaskError("the network has no weights")


def require_unmoved(weights: Weights, state: State) -> None:
    """Raise TaskError if training has changed a tensor that is no parameter, which no diff carries."""
    for name in sorted(state.constants & weights.keys()):
        if not np.array_equal(bits_of(state.arrays[name]), bits_of(weights[name])):
            raise TaskError(
                f"training changed {name}, which no trained diff carries: keep it as it is in training, or train "
                "elsewhere and pass --from-checkpoint"
            )


def untrained(network: nn.Module, scaled: Container[str] | None = None) -> Iterator[str]:
    """Yield a line on each kind of tensor that a trained diff leaves as it is, though one might expect otherwise.

    `scaled` names the int8 tensors that are trained; None: those whose scales names tell.
    """
    if held := statistics(network):
        yield f"stay the parent's, for no trained diff carries running statistics: {_listed(held)}"
    if others := _that_stay(network, _with_scales(network) if scaled is None else scaled):
        yield f"stay the parent's, for only fp32 is trained, and int8 with a scale: {_listed(others)}"


def _with_scales(network: nn.Module) -> set[str]:
    """Return the names of the int8 tensors beside which a scale stands."""
    there = tensors(network)
    return {name for name, tensor in there.items() if tensor.dtype == torch.int8 and beside(name, SCALE) in there}


def _that_stay(network: nn.Module, scaled: Container[str]) -> list[str]:
    """Return the names of weights that are neither fp32 nor int8 with a scale, and no int8 tensor's constants."""
    there = tensors(network)
    parameters = {name for name, _ in network.named_parameters()}
    int8 = {name for name, tensor in there.items() if tensor.dtype == torch.int8}
    constants = {beside(name, ending) for name in int8 for ending in (SCALE, ZERO_POINT)}
    weights = [name for name in there if name in parameters | int8 and name not in constants]
    return [name for name in weights if there[name].dtype != torch.float32 and name not in scaled]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
