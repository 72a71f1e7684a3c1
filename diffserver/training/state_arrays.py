"""A network's state as the arrays, dtypes and constants with which weights enter a table; how it differs from one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diffclient.tensors.snapshot import Array, Table
from diffclient.tensors.tensor_table import DTYPES, TensorSpec
from diffserver.checkpoints.tensor_array import as_array
from diffserver.methods.parametrised import tensors


@dataclass(frozen=True, eq=False)
class State:
    """The arguments of `enter_grid` for a network."""

    arrays: Mapping[str, Array]
    """By name, in the network's shapes; bf16 as uint16."""
    dtypes: Mapping[str, str]
    """The dtypes that an array's dtype does not show."""
    constants: frozenset[str]
    """Names of tensors that are no parameters, and so may hold infinities: masks, statistics, tables."""


def state_of(network: nn.Module) -> State:
    """Return a network's state dict, tied weights once; its arrays share memory with it where they can."""
    there = tensors(network)
    arrays = {name: as_array(tensor) for name, tensor in there.items()}
    halves = [name for name, tensor in there.items() if tensor.dtype == torch.bfloat16]
    trained = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    return State(arrays, dict.fromkeys(halves, "BF16"), frozenset(there.keys() - trained))


def differing_tensors(table: Table, there: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield a phrase for each tensor in which a network (its tensors by name) differs from a version."""
    specs = {spec.name: spec for spec in table}
    for name in sorted(specs.keys() | there.keys()):
        spec, tensor = specs.get(name), there.get(name)
        if spec is None or tensor is None or not _fits(spec, tensor):
            own = (
                f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}" if tensor is not None else "missing"
            )
            yield f"{name} ({own}, in the version {f'{spec.dtype} {list(spec.shape)}' if spec else 'missing'})"


def _fits(spec: TensorSpec, tensor: Tensor) -> bool:
    return spec.shape == tuple(tensor.shape) and DTYPES[spec.dtype].itemsize == tensor.element_size()
