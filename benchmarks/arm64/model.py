"""Make version 0 of a model with a tensor of every kind that a payload must handle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffclient.diff.streams import CHUNK
from diffclient.tensors import arithmetic
from diffclient.tensors.snapshot import Array, TensorSpec, write_snapshot

Random = np.random.Generator


def write_version_0(path: Path, rng: Random) -> None:
    """Write the snapshot `path`."""
    tensors = [_tensor(name, tensor, rng) for name, tensor in sorted(MODEL.items(), key=lambda item: item[0].encode())]
    write_snapshot(path, tuple(spec for spec, _ in tensors), (array for _, array in tensors))


@dataclass(frozen=True)
class Tensor:
    """The recipe of a tensor of version 0."""

    dtype: str
    shape: tuple[int, ...]
    draw: Callable[[Random, tuple[int, ...]], Array]
    """A function that returns the weights in the dtype of `DTYPES`: bf16 as uint16."""
    on_grid: bool = False


def _tensor(name: str, tensor: Tensor, rng: Random) -> tuple[TensorSpec, Array]:
    array, grid = tensor.draw(rng, tensor.shape), None
    if tensor.on_grid:
        grid = arithmetic.choose_grid(array)
        assert grid is not None
        array = np.asarray(arithmetic.from_grid(arithmetic.round_to_grid(array, grid), grid))
    return TensorSpec(name, tensor.shape, tensor.dtype, grid), array


def _normal(rng: Random, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.normal(0, 0.05, shape), np.float32)


def _extremes(rng: Random, shape: tuple[int, ...]) -> Array:
    """Return numbers from fp32's subnormals almost to its largest; never -0, which exact diffs cannot make."""
    return np.asarray(rng.normal(size=shape) * 10.0 ** rng.uniform(-44, 37, shape), np.float32) + np.float32(0)


def _half(rng: Random, shape: tuple[int, ...]) -> Array:
    return _normal(rng, shape).astype(np.float16)


def _half_subnormals(rng: Random, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.normal(0, 2.0**-16, shape)).astype(np.float16)


def _brain(rng: Random, shape: tuple[int, ...]) -> Array:
    return (_normal(rng, shape).view(np.uint32) >> 16).astype(np.uint16)


def _brain_subnormals(rng: Random, shape: tuple[int, ...]) -> Array:
    numbers = np.asarray(rng.normal(0, 2.0**-127, shape), np.float32)
    return (numbers.view(np.uint32) >> 16).astype(np.uint16)


def _integers(dtype: type[np.integer], low: int, high: int) -> Callable[[Random, tuple[int, ...]], Array]:
    return lambda rng, shape: rng.integers(low, high, shape, dtype, endpoint=True)


def _float64(rng: Random, shape: tuple[int, ...]) -> Array:
    return rng.normal(size=shape)


MODEL = {
    "decoder.embedding": Tensor("F32", (CHUNK // 1000 + 2, 1000), _normal, on_grid=True),
    "encoder.conv1d": Tensor("F32", (128, 128, 3), _normal, on_grid=True),
    "encoder.conv2d": Tensor("F32", (64, 64, 3, 3), _normal, on_grid=True),
    "encoder.conv5": Tensor("F32", (128, 128, 5), _normal, on_grid=True),
    "encoder.größe": Tensor("F32", (257,), _normal, on_grid=True),
    "encoder.nothing": Tensor("F32", (3, 0), _normal, on_grid=True),
    "encoder.scale": Tensor("F32", (), _normal, on_grid=True),
    "half.weight": Tensor("F16", (128, 96), _half),
    "half.tiny": Tensor("F16", (64, 33), _half_subnormals),
    "brain.weight": Tensor("BF16", (128, 96), _brain),
    "brain.tiny": Tensor("BF16", (64, 33), _brain_subnormals),
    "norm.mean": Tensor("F32", (300,), _extremes),
    "norm.variance": Tensor("F64", (300,), _float64),
    "quantized.weight": Tensor("I8", (64, 32, 3), _integers(np.int8, -60, 60)),
    "state.flags": Tensor("BOOL", (40,), _integers(np.uint8, 0, 1)),
    "state.ids": Tensor("I64", (40,), _integers(np.int64, -(1 << 63), (1 << 63) - 1)),
    "state.lengths": Tensor("I32", (40,), _integers(np.int32, -(1 << 31), (1 << 31) - 1)),
    "state.levels": Tensor("U8", (40,), _integers(np.uint8, 0, 255)),
    "state.window": Tensor("I16", (40,), _integers(np.int16, -(1 << 15), (1 << 15) - 1)),
}
