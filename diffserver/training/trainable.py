"""The networks that can be trained as diffs: those whose state consists of fp32 parameters with one name each, and of
int8 tensors with their scales and zero points.

Other states travel as checkpoints, which nothing here trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from diffserver.checkpoints.int8_scales import SCALE, ZERO_POINT, beside
from diffserver.tasks.errors import TaskError
from diffserver.tasks.tied import other_names

_NO_PARAMETER = (
    "no parameter. Use LayerNorm or GroupNorm in place of BatchNorm, register constants with persistent=False, or "
    "train elsewhere and pass --from-checkpoint"
)
_TIED = "another name of the same weights. Keep them once, and call functions with them where they are used again"
_NO_FP32 = "no float32, and no int8 with a scale beside it. Train elsewhere and pass --from-checkpoint"


def require_trainable(network: nn.Module) -> None:
    """Raise TaskError unless the network's state consists of weights that are trained, and of int8's constants."""
    state: Mapping[str, Any] = network.state_dict()
    parameters = dict(network.named_parameters(remove_duplicate=False))
    int8 = {name for name in state if state[name].dtype == torch.int8 and beside(name, SCALE) in state}
    known = int8 | {beside(name, ending) for name in int8 for ending in (SCALE, ZERO_POINT)}
    problems = {
        _TIED: list(other_names(network)),
        _NO_PARAMETER: [name for name in state if name not in parameters and name not in known],
        _NO_FP32: [name for name, weight in parameters.items() if weight.dtype != torch.float32 and name not in known],
    }
    for problem, names in problems.items():
        if names:
            raise TaskError(f"the network cannot be trained as diffs: {', '.join(names[:5])}: {problem}")
    if not parameters and not int8:
        raise TaskError("the network has no weights")
