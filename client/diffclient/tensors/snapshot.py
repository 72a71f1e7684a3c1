"""Snapshots (safetensors files): round weights to grids, write, read and digest.

A snapshot holds its tensors in name order with nothing between them, and the grid exponents in the
header's metadata; so equal weights are equal files. Files are read and written tensor by tensor, or less.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from diffclient import durable
from diffclient.errors import RangeError, SnapshotError
from diffclient.tensors import arithmetic, float_bits
from diffclient.tensors.tensor_table import DTYPES, Table, TensorSpec, digest, fp32_bytes, header_of, read_header

__all__ = [
    "DTYPES", "Array", "Snapshot", "Table", "TensorSpec", "digest", "enter_grid", "fp32_bytes", "on_grid",
    "require_finite", "write_pieces", "write_snapshot",
]  # fmt: skip

Array = npt.NDArray[Any]

_READ = 1 << 20
"""Bytes that are read and hashed at once."""


def enter_grid(
    tensors: Mapping[str, Array],
    *,
    off_grid: Container[str] = (),
    dtypes: Mapping[str, str] = MappingProxyType({}),
    constants: Container[str] = (),
) -> tuple[Table, dict[str, Array]]:
    """Round every fp32 tensor once to a grid chosen for it; other dtypes stay as they are.

    `off_grid` names fp32 tensors that stay as they are, too, like those that no grid suits: only exact diffs can change
    them. `dtypes` names what arrays cannot tell: BF16, of uint16 arrays that hold its bits, and BOOL, of bytes.
    `constants` names tensors that are not trained, like masks, which may hold infinities and NaN. Off the grid as on
    it, minus zero becomes plus zero. Raises RangeError on other weights that are not finite, SnapshotError on a dtype
    that has no name here.
    """
    table, entered = [], {}
    for name in sorted(tensors, key=str.encode):
        array = np.asarray(tensors[name])
        dtype = _dtype_name(name, array, dtypes.get(name))
        if name not in constants:
            require_finite(name, array, dtype)
        grid = arithmetic.choose_grid(array) if dtype == "F32" and name not in off_grid else None
        entered[name] = on_grid(array, dtype, grid)
        table.append(TensorSpec(name, array.shape, dtype, grid))
    return tuple(table), entered


def require_finite(name: str, array: Array, dtype: str) -> None:
    """Raise RangeError if a tensor, or a part of it, holds infinities or NaN."""
    if not float_bits.finite(array, dtype):
        raise RangeError(f"{name}: the tensor holds a weight that is not finite: retrain or repair the checkpoint")


def on_grid(array: Array, dtype: str, grid: int | None) -> Array:
    """Return a tensor, or a part of it, rounded to its grid; off the grid, as it is but for minus zero."""
    if grid is not None:
        return np.asarray(arithmetic.from_grid(arithmetic.round_to_grid(array, grid), grid))
    if dtype not in float_bits.EXPONENTS:
        return array.view(DTYPES[dtype])
    return np.asarray(float_bits.plus_zero(float_bits.bits_of(array))).view(array.dtype)


def write_snapshot(path: Path, table: Table, arrays: Iterable[Array]) -> str:
    """Write arrays, in the table's order, as a snapshot synced to disk; return the version's digest."""
    return write_pieces(path, table, ([_shaped(array, spec)] for spec, array in zip(table, arrays, strict=True)))


def write_pieces(path: Path, table: Table, tensors: Iterable[Iterable[Array]]) -> str:
    """Write a snapshot as `write_snapshot` does; every tensor comes in pieces, of which one is in memory at a time."""
    hashes = []
    with path.open("xb") as file:
        file.write(header_of(table))
        for spec, pieces in zip(table, tensors, strict=True):
            tensor_hash = hashlib.sha256()
            for piece in pieces:
                data = np.ascontiguousarray(piece, DTYPES[spec.dtype]).data
                tensor_hash.update(data)
                file.write(data)
            hashes.append(tensor_hash.digest())
        durable.settle(file)
    return digest(table, hashes)


class Snapshot:
    """A snapshot file with a checked header; weights are read on demand."""

    def __init__(self, path: Path) -> None:
        """Open `path`; raises SnapshotError unless it is a whole snapshot as `write_snapshot` writes."""
        self.path = path
        try:
            with path.open("rb") as file:
                self.table, self._start = read_header(file)
                length = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise SnapshotError(f"cannot read snapshot {path}: {error.strerror}") from error
        *starts, end = accumulate((spec.nbytes for spec in self.table), initial=self._start)
        if length != end:
            raise SnapshotError(f"{path}: {length} bytes, its header asks for {end}")
        self._starts = {spec.name: start for spec, start in zip(self.table, starts, strict=True)}
        self._specs = {spec.name: spec for spec in self.table}

    def read(self, name: str) -> Array:
        """Return one tensor's weights in its shape (bf16 as uint16)."""
        spec = self._specs[name]
        return self.part(name, 0, spec.size).reshape(spec.shape)

    def part(self, name: str, start: int, stop: int) -> Array:
        """Return one tensor's weights from position `start` up to `stop`, flat."""
        dtype = DTYPES[self._specs[name].dtype]
        flat = np.fromfile(self.path, dtype, stop - start, offset=self._starts[name] + start * dtype.itemsize)
        if flat.size != stop - start:
            raise SnapshotError(f"{self.path}: {name} ends early")
        return flat

    def read_all(self) -> dict[str, Array]:
        """Return every tensor by name."""
        return {spec.name: self.read(spec.name) for spec in self.table}

    def open(self) -> BinaryIO:
        """Open the file at the first tensor; the others follow in the table's order."""
        file = self.path.open("rb")
        file.seek(self._start)
        return file

    def digest(self) -> str:
        """Read and hash every byte again; return the version's digest."""
        with self.open() as file:
            return digest(self.table, _hashes(file, self.table))


def read_into(file: BinaryIO, memory: memoryview) -> None:
    """Fill `memory` with the next bytes of a snapshot; raises SnapshotError if it ends early."""
    if file.readinto(memory) != len(memory):  # type: ignore[attr-defined]
        raise SnapshotError(f"{file.name}: the file became shorter while it was read")


def _hashes(file: BinaryIO, table: Table) -> Iterator[bytes]:
    memory = memoryview(bytearray(_READ))
    for spec in table:
        tensor_hash = hashlib.sha256()
        for start in range(0, spec.nbytes, _READ):
            part = memory[: min(_READ, spec.nbytes - start)]
            read_into(file, part)
            tensor_hash.update(part)
        yield tensor_hash.digest()


def _shaped(array: Array, spec: TensorSpec) -> Array:
    if np.shape(array) != spec.shape:
        raise SnapshotError(f"{spec.name}: shape {np.shape(array)} is not the table's {spec.shape}")
    return array


def _dtype_name(name: str, array: Array, declared: str | None) -> str:
    if declared is not None and array.dtype == DTYPES[declared]:
        return declared
    if array.dtype == np.bool_:
        return "BOOL"
    for dtype_name, dtype in DTYPES.items():
        if array.dtype == dtype and dtype_name != "BF16":
            return dtype_name
    raise SnapshotError(f"{name}: dtype {array.dtype} cannot be shipped; cast it to one of {', '.join(DTYPES)}")
