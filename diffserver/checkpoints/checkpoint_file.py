"""Read checkpoints, safetensors files written elsewhere, tensor by tensor and without trust.

Unlike a snapshot a checkpoint may have any order of tensors, any metadata and any spelling of the header. Comparing it
with a version is left to `changes`.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from diffclient.errors import FormatError
from diffclient.strict_json import parse
from diffclient.tensors.snapshot import Array
from diffclient.tensors.tensor_table import DTYPES, HEADER_LIMIT, Table, TensorSpec
from diffserver.errors import CheckpointError

REMEDY = "save the model's tensors with safetensors.torch.save_file"
AGAIN = "copy the file again"
DIMENSIONS = 16


@dataclass(frozen=True)
class Entry:
    """One tensor of a checkpoint, and the offset of its bytes in the file."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    start: int

    @property
    def size(self) -> int:
        """The number of weights."""
        return math.prod(self.shape)

    @property
    def stop(self) -> int:
        """The offset of the end of its bytes."""
        return self.start + self.size * DTYPES[self.dtype].itemsize


class Checkpoint:
    """A safetensors file with a checked header; tensors are read on demand."""

    def __init__(self, path: Path) -> None:
        """Open `path`; raises CheckpointError unless it is a whole safetensors file of dtypes that can be shipped."""
        self.path = path
        try:
            with path.open("rb") as file:
                length = file.seek(0, 2)
                file.seek(0)
                entries, begin = _read_header(file, length)
        except OSError as error:
            raise CheckpointError(f"cannot read {path}: {error.strerror}", "pass the path of a file") from error
        _require_whole(entries, begin, length)
        self.entries: Mapping[str, Entry] = {entry.name: entry for entry in entries}

    @property
    def table(self) -> Table:
        """The tensors by name, all off the grid."""
        own = sorted(self.entries.values(), key=lambda entry: entry.name.encode())
        return tuple(TensorSpec(entry.name, entry.shape, entry.dtype, None) for entry in own)

    def read(self, name: str) -> Array:
        """Return one tensor in its shape (bf16 as uint16); raises CheckpointError on damaged values."""
        entry = self.entries[name]
        return self.part(name, 0, entry.size).reshape(entry.shape)

    def part(self, name: str, start: int, stop: int) -> Array:
        """Return one tensor from position `start` up to `stop`, flat; raises CheckpointError on damaged values."""
        entry = self.entries[name]
        dtype = DTYPES[entry.dtype]
        flat = np.fromfile(self.path, dtype, stop - start, offset=entry.start + start * dtype.itemsize)
        if flat.size != stop - start:
            raise CheckpointError(f"{name} ends early", AGAIN)
        if entry.dtype == "BOOL" and np.any(flat > 1):
            raise CheckpointError(f"{name} holds a truth value that is neither 0 nor 1", "repair the checkpoint")
        return flat


def _read_header(file: BinaryIO, length: int) -> tuple[list[Entry], int]:
    """Return the tensors in the order of their bytes, and the offset of the first byte; raises CheckpointError."""
    prefix = file.read(8)
    size = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
    if not 2 <= size <= HEADER_LIMIT:
        raise CheckpointError("not a safetensors file: no header of a sensible length", REMEDY)
    if 8 + size > length:
        # The first bytes of any file can be read as a length; a brace after them marks a header that was cut short.
        if file.read(1) != b"{":
            raise CheckpointError("not a safetensors file: it has no header", REMEDY)
        raise CheckpointError(f"the file ends early: {length} bytes, its header alone has {8 + size}", AGAIN)
    try:
        header = parse(file.read(size), "the header", FormatError).values
        entries = [_entry(name, value, 8 + size) for name, value in header.items() if name != "__metadata__"]
    except (FormatError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"not a safetensors file: its header cannot be read ({error})", REMEDY) from error
    return sorted(entries, key=lambda entry: (entry.start, entry.stop)), 8 + size


def _entry(name: str, value: Mapping[str, Any], begin: int) -> Entry:
    shape, dtype, (start, stop) = value["shape"], value["dtype"], value["data_offsets"]
    if not name.isprintable():
        raise ValueError(f"tensor {name[:40]!r} has a name that does not print")
    if dtype not in DTYPES:
        dtypes = ", ".join(DTYPES)
        raise CheckpointError(f"{name}: dtype {dtype} cannot be shipped", f"cast the tensor to one of {dtypes}")
    numbers = [*shape, start, stop]
    if not isinstance(shape, list) or any(type(number) is not int or not 0 <= number < 1 << 48 for number in numbers):
        raise ValueError(f"tensor {name[:40]!r} has an impossible shape or place")
    if len(shape) > DIMENSIONS:
        raise ValueError(f"tensor {name[:40]!r} has {len(shape)} dimensions")
    entry = Entry(name, tuple(shape), dtype, begin + start)
    if entry.stop != begin + stop:
        raise ValueError(f"tensor {name[:40]!r} has more or fewer bytes than its shape asks for")
    return entry


def _require_whole(entries: list[Entry], begin: int, length: int) -> None:
    if not entries:
        raise CheckpointError("the checkpoint holds no tensors", REMEDY)
    end = begin
    for entry in entries:
        if entry.start != end:
            raise CheckpointError(f"{entry.name} overlaps with the tensor before it, or leaves a gap", REMEDY)
        end = entry.stop
    if length < end:
        raise CheckpointError(f"the file ends early: {length} bytes, its header asks for {end}", AGAIN)
    if length > end:
        raise CheckpointError(f"{length - end} bytes follow the last tensor", REMEDY)
