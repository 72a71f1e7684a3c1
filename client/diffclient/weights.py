"""Weights at rest: the tensor table, snapshots (safetensors files) and their digest.

A snapshot holds its tensors in name order with nothing between them, and the grid exponents in the
header's metadata; so equal weights are equal files. Files are read and written tensor by tensor.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from diffclient import arithmetic, durable
from diffclient.errors import SnapshotError

Array = npt.NDArray[Any]

DTYPES: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(code)
    for name, code in {
        "F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8", "I8": "i1", "I16": "<i2", "I32": "<i4",
        "I64": "<i8", "U8": "u1", "BOOL": "u1",
    }.items()
}  # fmt: skip
"""The safetensors dtypes that a model may have; bf16 is handled as its raw 16 bits."""

DIGEST_DOMAIN = b"neural-diff digest 1\n"
HEADER_LIMIT = 64 << 20
_METADATA_KEY = "grid"
_NAME_LIMIT = 1000


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a model: its place in the table, not its values."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    grid: int | None
    """e: the weights are multiples of 2^-e; None for a tensor off the grid."""

    @property
    def size(self) -> int:
        """The number of weights."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of all weights."""
        return self.size * DTYPES[self.dtype].itemsize


Table = tuple[TensorSpec, ...]
"""A model's tensors, in order of their names' UTF-8 bytes."""


def fp32_bytes(table: Table) -> int:
    """Return the bytes of the model's weights as fp32: what a budget is a share of."""
    return 4 * sum(spec.size for spec in table)


def enter_grid(tensors: Mapping[str, Array]) -> tuple[Table, dict[str, Array]]:
    """Round every fp32 tensor once to a grid chosen for it; other dtypes stay as they are.

    Raises RangeError on weights that are not finite, SnapshotError on a dtype that has no name here.
    """
    table, rounded = [], {}
    for name in sorted(tensors, key=str.encode):
        array = np.asarray(tensors[name])
        dtype = _dtype_name(name, array)
        grid = None
        if dtype == "F32":
            grid = arithmetic.choose_grid(array)
            array = np.asarray(arithmetic.from_grid(arithmetic.round_to_grid(array, grid), grid))
        table.append(TensorSpec(name, array.shape, dtype, grid))
        rounded[name] = array
    return tuple(table), rounded


def digest(table: Table, hashes: Iterable[bytes]) -> str:
    """Return the version's digest: SHA-256 (hex) over domain, table length, table, tensor SHA-256s."""
    described = json.dumps(
        [[spec.name, list(spec.shape), spec.dtype, spec.grid] for spec in table],
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
    whole = hashlib.sha256(DIGEST_DOMAIN + struct.pack("<Q", len(described)) + described)
    for tensor_hash in hashes:
        whole.update(tensor_hash)
    return whole.hexdigest()


def write_snapshot(path: Path, table: Table, arrays: Iterable[Array]) -> str:
    """Write arrays, in the table's order, as a snapshot synced to disk; return the version's digest."""
    hashes = []
    with path.open("xb") as file:
        file.write(_header(table))
        for spec, array in zip(table, arrays, strict=True):
            data = np.ascontiguousarray(array, DTYPES[spec.dtype])
            if np.shape(array) != spec.shape:
                raise SnapshotError(f"{spec.name}: shape {np.shape(array)} is not the table's {spec.shape}")
            hashes.append(hashlib.sha256(data.data).digest())
            file.write(data.data)
        durable.settle(file)
    return digest(table, hashes)


class Snapshot:
    """A snapshot file whose header was checked; tensors are read when asked for."""

    def __init__(self, path: Path) -> None:
        """Open `path`; raises SnapshotError unless it is a whole snapshot as `write_snapshot` writes."""
        self.path = path
        try:
            with path.open("rb") as file:
                self.table, self._start = _read_header(file)
                length = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise SnapshotError(f"cannot read snapshot {path}: {error.strerror}") from error
        ends = np.cumsum([0, *(spec.nbytes for spec in self.table)])
        if length != self._start + int(ends[-1]):
            raise SnapshotError(f"{path}: {length} bytes, its header asks for {self._start + int(ends[-1])}")
        self._offsets = {spec.name: int(end) for spec, end in zip(self.table, ends[:-1], strict=True)}
        self._specs = {spec.name: spec for spec in self.table}

    def read(self, name: str) -> Array:
        """Return one tensor's weights in its shape (bf16 as uint16)."""
        spec = self._specs[name]
        offset = self._start + self._offsets[name]
        flat = np.fromfile(self.path, DTYPES[spec.dtype], count=spec.size, offset=offset)
        if flat.size != spec.size:
            raise SnapshotError(f"{self.path}: {name} ends early")
        return flat.reshape(spec.shape)

    def read_all(self) -> dict[str, Array]:
        """Return every tensor by name."""
        return {spec.name: self.read(spec.name) for spec in self.table}

    def digest(self) -> str:
        """Read and hash every byte again; return the version's digest."""
        flat = (self.read(spec.name).reshape(-1) for spec in self.table)
        return digest(self.table, (hashlib.sha256(weights.data).digest() for weights in flat))


def _dtype_name(name: str, array: Array) -> str:
    for known, dtype in DTYPES.items():
        if array.dtype == dtype and known != "BF16":
            return known
    raise SnapshotError(f"{name}: dtype {array.dtype} cannot be shipped; cast it to one of {', '.join(DTYPES)}")


def _header(table: Table) -> bytes:
    grids = {spec.name: spec.grid for spec in table if spec.grid is not None}
    header: dict[str, Any] = {"__metadata__": {_METADATA_KEY: json.dumps(grids, ensure_ascii=False)}}
    start = 0
    for spec in table:
        end = start + spec.nbytes
        header[spec.name] = {"dtype": spec.dtype, "shape": list(spec.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _read_header(file: BinaryIO) -> tuple[Table, int]:
    prefix = file.read(8)
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
    if not 0 < length <= HEADER_LIMIT:
        raise SnapshotError("not a snapshot: no header of a sensible length")
    text = file.read(length)
    try:
        header = json.loads(text)
        grids = json.loads(header["__metadata__"][_METADATA_KEY])
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        table = tuple(_spec(name, entry, grids.get(name)) for name, entry in entries.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SnapshotError(f"not a snapshot: its header cannot be read ({error})") from error
    # A header has one spelling, so whatever differs from it is not ours: order, offsets, gaps, padding.
    if _header(table) != prefix + text or list(entries) != sorted(entries, key=str.encode):
        raise SnapshotError("not a snapshot: its header is not in canonical form")
    return table, 8 + length


def _spec(name: str, entry: Mapping[str, Any], grid: object) -> TensorSpec:
    shape, dtype = entry["shape"], entry["dtype"]
    if not 0 < len(name) <= _NAME_LIMIT or dtype not in DTYPES or not isinstance(shape, list):
        raise ValueError(f"tensor {name[:40]!r} has no known dtype, shape or name")
    if any(type(side) is not int or not 0 <= side < 1 << 40 for side in shape) or len(shape) > 16:
        raise ValueError(f"tensor {name[:40]!r} has an impossible shape")
    if grid is not None and (type(grid) is not int or dtype != "F32"):
        raise ValueError(f"tensor {name[:40]!r} has an impossible grid")
    if isinstance(grid, int) and not arithmetic.GRID_MIN <= grid <= arithmetic.GRID_MAX:
        raise ValueError(f"tensor {name[:40]!r} has a grid out of range")
    return TensorSpec(name, tuple(shape), dtype, grid)
