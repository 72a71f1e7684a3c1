"""Scales of int8 tensors, found by name."""

from __future__ import annotations

import numpy as np
import pytest

from diffclient.tensors.tensor_table import TensorSpec
from diffserver.checkpoints.int8_scales import as_scale, find_scales


@pytest.mark.parametrize(
    ("tensor", "scale", "shape"),
    [
        ("layer.weight", "layer.weight_scale", (1, 1)),
        ("onnx::MatMul_12_quantized", "onnx::MatMul_12_scale", (1, 1)),
        ("layer.weight", "layer.scale", None),
        ("W_quantized", "W_quantized_scale", None),
    ],
)
def test_names_tell(tensor: str, scale: str, shape: tuple[int, ...] | None) -> None:
    table = TensorSpec(scale, (), "F32", None), TensorSpec(tensor, (4, 3), "I8", None)
    found = find_scales(table, {scale: np.full((), 0.5, np.float32), tensor: np.zeros((4, 3), np.int8)})
    assert {name: array.shape for name, array in found.items()} == ({} if shape is None else {tensor: shape})


def test_what_is_not_int8_has_no_scale() -> None:
    for dtype, of_scale in (("F32", "F32"), ("U8", "F32"), ("I16", "F32"), ("I8", "BF16"), ("I8", "I8")):
        table = TensorSpec("weight", (2, 2), dtype, None), TensorSpec("weight_scale", (), of_scale, None)
        assert find_scales(table, {"weight_scale": np.ones((), np.float32)}) == {}


@pytest.mark.parametrize(
    ("numbers", "name", "wanted"),
    [
        (0.5, "weight", (1, 1)),
        (np.full(4, 0.5), "weight", (4, 1)),
        (np.full(3, 0.5), "weight", (1, 3)),
        (np.full((4, 1), 0.5), "weight", (4, 1)),
        (np.full((4, 3), 0.5), "weight", (4, 3)),
        (np.full(5, 0.5), "weight", None),
        (np.full((2, 1), 0.5), "weight", None),
        (0.0, "weight", None),
        (np.array([1, 1, np.nan]), "weight", None),
    ],
)
def test_a_scale_fits_its_tensor(numbers: object, name: str, wanted: tuple[int, ...] | None) -> None:
    scale = as_scale(numbers, (4, 3), name)
    assert (None if scale is None else scale.shape) == wanted


def test_of_a_square_matrix_the_name_tells_the_axis() -> None:
    numbers = np.array([1, 2], np.float32)
    shapes = [
        scale.shape for name in ("weight", "W_quantized") if (scale := as_scale(numbers, (2, 2), name)) is not None
    ]
    assert shapes == [(2, 1), (1, 2)]
