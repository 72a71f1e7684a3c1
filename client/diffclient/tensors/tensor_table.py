"""The tensor table of a model: its entry in a snapshot's header and in the digest.

The weights themselves are left to `snapshot`.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np

from diffclient.errors import SnapshotError
from diffclient.tensors import arithmetic

DTYPES: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(code)
    for name, code in {
        "F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8", "I8": "i1", "I16": "<i2", "I32": "<i4",
        "I64": "<i8", "U8": "u1", "BOOL": "u1",
    }.items()
}  # fmt: skip
"""The safetensors dtypes that a model may have; bf16 is handled as its raw 16 bits."""

HALVES = ("F16", "BF16")
"""Floats that have no room for a grid."""

DIGEST_DOMAIN = b"neural-diff digest 1\n"
HEADER_LIMIT = 16 << 20
"""Bytes of a header: some 110,000 tensors, read in 230 MB."""
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


def regridded(table: Table, grids: Mapping[int, int | None]) -> Table:
    """Return the table with other grids for some tensors, given by their numbers."""
    specs = list(table)
    for number, grid in grids.items():
        specs[number] = replace(specs[number], grid=grid)
    return tuple(specs)


def fp32_bytes(table: Table) -> int:
    """Return the bytes of the model's weights as fp32, the reference of budgets."""
    return 4 * sum(spec.size for spec in table)


def digest(table: Table, hashes: Iterable[bytes]) -> str:
    """Return the version's digest: SHA-256 (hex) over domain, table length, table, tensor SHA-256s."""
    described = _compact([[spec.name, list(spec.shape), spec.dtype, spec.grid] for spec in table]).encode()
    whole = hashlib.sha256(DIGEST_DOMAIN + struct.pack("<Q", len(described)) + described)
    for tensor_hash in hashes:
        whole.update(tensor_hash)
    return whole.hexdigest()


def header_of(table: Table) -> bytes:
    """Return the canonical header of a snapshot, its length and padding included."""
    grids = {spec.name: spec.grid for spec in table if spec.grid is not None}
    header: dict[str, Any] = {"__metadata__": {_METADATA_KEY: _compact(grids)}}
    start = 0
    for spec in table:
        end = start + spec.nbytes
        header[spec.name] = {"dtype": spec.dtype, "shape": list(spec.shape), "data_offsets": [start, end]}
        start = end
    text = _compact(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def read_header(file: BinaryIO) -> tuple[Table, int]:
    """Return the table at the beginning of a snapshot, and the offset of the weights; raises SnapshotError."""
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
    if header_of(table) != prefix + text or list(entries) != sorted(entries, key=str.encode):
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
