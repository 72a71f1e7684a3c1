"""The scales of int8 tensors: what a step of int8 is as a weight, found by the names under which libraries ship them.

Beside `weight`, torch and what follows it keep `weight_scale`; ONNX Runtime's quantiser has `W_scale` for
`W_quantized`. A zero point is not needed, as it takes no part in a change. Training, and comparing changes, is left to
others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from diffclient.tensors.snapshot import Array
from diffclient.tensors.tensor_table import Table

Scales = Mapping[str, npt.NDArray[np.float32]]
"""By tensor its scale, with as many sides as the tensor, each 1 or the tensor's."""

SCALE, ZERO_POINT = "_scale", "_zero_point"
_QUANTISED = "_quantized"
"""The end of the names that ONNX Runtime gives, whose matrices have their outputs in the last axis."""


def find_scales(table: Table, weights: Mapping[str, Array]) -> Scales:
    """Return the scales of those int8 tensors that have one by name; what cannot be a scale of its tensor is left."""
    found, floats = {}, {spec.name for spec in table if spec.dtype in ("F32", "F16")}
    for spec in table:
        name = beside(spec.name, SCALE)
        scale = as_scale(weights[name], spec.shape, spec.name) if spec.dtype == "I8" and name in floats else None
        if scale is not None:
            found[spec.name] = scale
    return found


def beside(name: str, ending: str) -> str:
    """Return the name of an int8 tensor's scale, or zero point."""
    return name.removesuffix(_QUANTISED) + ending


def as_scale(numbers: object, shape: Sequence[int], name: str = "") -> npt.NDArray[np.float32] | None:
    """Return numbers as the scale of a tensor of this shape: one, one for each index of an axis, or as they are.

    None if they are not positive and finite, or do not fit.
    """
    scale = np.array(numbers, np.float32)
    if not (np.isfinite(scale) & (scale > 0)).all():
        return None
    if scale.size == 1:
        return scale.reshape((1,) * len(shape))
    if scale.ndim == 1 and scale.size in shape:
        axes = [axis for axis, side in enumerate(shape) if side == scale.size]
        axis = axes[-1 if name.endswith(_QUANTISED) else 0]
        return np.expand_dims(scale, [other for other in range(len(shape)) if other != axis])
    fits = scale.ndim == len(shape) and all(side in (1, whole) for side, whole in zip(scale.shape, shape, strict=True))
    return scale if fits else None
