"""Checkpoints for tests: files that other software would write."""

from __future__ import annotations

import json
import struct
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from diffclient.tensors.snapshot import Array, Snapshot, enter_grid, write_snapshot
from diffclient.tensors.tensor_table import DTYPES


def save(path: Path, tensors: Mapping[str, Array]) -> Path:
    """Write numpy arrays with the safetensors package."""
    save_file(dict(tensors), path, metadata={"format": "pt"})
    return path


def raw(path: Path, header: Mapping[str, Any] | bytes, data: bytes = b"") -> Path:
    """Write a file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def entry(dtype: str, shape: list[Any], start: int, stop: int) -> dict[str, Any]:
    """One tensor's part of a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def write(path: Path, tensors: Mapping[str, tuple[str, Array]]) -> Path:
    """Write tensors of any dtype (bf16 as uint16), the last one first."""
    header, data = {}, b""
    for name, (dtype, array) in reversed(list(tensors.items())):
        content = np.ascontiguousarray(array, DTYPES[dtype]).tobytes()
        header[name] = entry(dtype, list(array.shape), len(data), len(data) + len(content))
        data += content
    return raw(path, header, data)


def mixed(seed: int = 0, size: int = 400) -> dict[str, tuple[str, Array]]:
    """A tensor of every dtype that can be shipped."""
    rng = np.random.default_rng(seed)
    floats = rng.normal(0, 0.1, size).astype(np.float32)
    return {
        "bfloat": ("BF16", (floats.view(np.uint32) >> 16).astype(np.uint16)),
        "byte": ("U8", rng.integers(0, 256, 7).astype(np.uint8)),
        "count": ("I64", rng.integers(-(2**62), 2**62, 3)),
        "double": ("F64", rng.normal(0, 1, 9)),
        "flags": ("BOOL", rng.integers(0, 2, 11).astype(np.uint8)),
        "grid": ("F32", floats.reshape(20, -1)),
        "half": ("F16", floats.astype(np.float16)),
        "int": ("I32", rng.integers(-(2**30), 2**30, 4).astype(np.int32)),
        "narrow": ("I8", rng.integers(-128, 128, size).astype(np.int8)),
        "off": ("F32", floats[:50].copy()),
        "short": ("I16", rng.integers(-(2**15), 2**15, 5).astype(np.int16)),
    }


def version(
    path: Path,
    tensors: Mapping[str, tuple[str, Array]],
    off_grid: Container[str] = ("off",),
    constants: Container[str] = (),
) -> Snapshot:
    """Write tensors as a version 0."""
    arrays = {name: array for name, (_, array) in tensors.items()}
    dtypes = {name: dtype for name, (dtype, _) in tensors.items()}
    table, entered = enter_grid(arrays, off_grid=off_grid, dtypes=dtypes, constants=constants)
    write_snapshot(path, table, [entered[spec.name] for spec in table])
    return Snapshot(path)
