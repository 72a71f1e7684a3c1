"""Write safetensors files tensor by tensor, with dtypes by name, so that bf16 needs no package that knows it."""

import json
import math
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from diffclient.tensors.snapshot import Array
from diffclient.tensors.tensor_table import DTYPES

Item = tuple[str, str, tuple[int, ...]]
"""A tensor's name, dtype and shape."""


def header(items: Iterable[Item]) -> bytes:
    """Return the header of a file with these tensors, one after the other, its length included."""
    fields, start = {}, 0
    for name, dtype, shape in items:
        end = start + math.prod(shape) * DTYPES[dtype].itemsize
        fields[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(fields).encode()
    return struct.pack("<Q", len(text)) + text


def write(path: Path, items: Iterable[Item], arrays: Iterator[Array]) -> Path:
    """Write tensors in this order; `arrays` gives each when it is its turn."""
    items = list(items)
    with path.open("xb") as file:
        file.write(header(items))
        for (_, dtype, _), array in zip(items, arrays, strict=True):
            file.write(np.ascontiguousarray(array, DTYPES[dtype]).data)
    return path
