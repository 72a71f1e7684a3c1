"""Convert a state dict that torch saved to safetensors: read as weights only, so that none of its code runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

from diffserver.checkpoints.tensor_array import as_array
from diffserver.checkpoints.write_safetensors import write
from diffserver.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

REMEDY = "save the model's tensors with safetensors.torch.save_file(model.state_dict(), …)"
INSIDE = ("state_dict", "model_state_dict", "model", "model_state")
"""The keys under which training frameworks keep the state dict in a checkpoint."""


def convert(path: Path, out: Path) -> Path:
    """Write a file's state dict to `out`, and return it; a tied tensor comes once. Raises CheckpointError."""
    tensors: dict[str, Tensor] = {}
    seen: set[tuple[Any, ...]] = set()
    for name, tensor in _state_dict(path).items():
        view = (tensor.data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() == 0 or view not in seen:
            tensors[name] = tensor
        seen.add(view)
    items = [(name, _dtype(name, tensor), tuple(tensor.shape)) for name, tensor in tensors.items()]
    return write(out, items, (as_array(tensor.contiguous()) for tensor in tensors.values()))


def _state_dict(path: Path) -> "Mapping[str, Tensor]":
    try:
        import torch
    except ImportError as error:
        raise CheckpointError(
            f"reading {path.name} needs torch", f"pip install 'diffserver[train]', or {REMEDY}"
        ) from error
    try:
        # Files of before torch 1.6 are no zip archives, and cannot be mapped.
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    except Exception as error:  # torch's own, by the file's format: pickles of objects, TorchScript, no torch file
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"torch does not read {path.name} as weights only: {reason}", REMEDY) from error
    while isinstance(loaded, Mapping) and (inside := next((key for key in INSIDE if key in loaded), None)):
        loaded = loaded[inside]
    if not isinstance(loaded, Mapping) or not loaded or not all(map(torch.is_tensor, loaded.values())):
        raise CheckpointError(f"{path.name} holds no state dict", REMEDY)
    return loaded


def _dtype(name: str, tensor: "Tensor") -> str:
    names = {
        "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64", "int8": "I8", "int16": "I16",
        "int32": "I32", "int64": "I64", "uint8": "U8", "bool": "BOOL",
    }  # fmt: skip
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in names or tensor.layout.__str__() != "torch.strided":
        raise CheckpointError(f"{name}: dtype {dtype} cannot be shipped", f"cast it to one of {', '.join(names)}")
    return names[dtype]
