"""A network whose weights are made by a method's parts, through `torch.nn.utils.parametrize`, step by step to an end.

Every training uses it, in this package's own loop and in foreign ones. Loops and files are left to others.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from diffserver.methods.method import Method, MethodError, Weights

_ORIGINAL = re.compile(r"parametrizations\.(\w+)\.original$")
_PART = re.compile(r"parametrizations\.(\w+)\.\d+\..+$")
"""The names under which `parametrize` keeps a tensor and its parts."""


class LoopError(MethodError):
    """A training loop that misuses a diff; the message ends with the remedy."""

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(f"{detail}: {remedy}")
        self.detail, self.remedy = detail, remedy


class Parametrised:
    """A network in training: frozen but for a method's parts, which make its weights."""

    def __init__(self, network: nn.Module, method: Method, steps: int, *, hold_statistics: bool = True) -> None:
        """Give `network` the parent's weights, and its changed tensors their parts, for a training of `steps` steps.

        Running statistics, as of BatchNorm, stay the parent's and are used as devices use them, unless
        `hold_statistics` is False.
        """
        if steps < 1:
            raise LoopError(f"{steps} steps train nothing", "give the number of the optimiser's steps, at least 1")
        self.network, self.method, self.steps, self.done = network, method, steps, 0
        load(network, method.parent)
        self._trainable = {id(tensor): tensor.requires_grad for tensor in network.parameters()}
        network.requires_grad_(False)
        self._places = list(_places(network, method.parts))
        self._held = _HeldStatistics(network) if hold_statistics else None
        for name, module, attribute in self._places:
            tensor = getattr(module, attribute)
            part = method.parts[name].to(tensor.device)
            # unsafe: of int8 a part makes float32, so that gradients reach its values
            parametrize.register_parametrization(module, attribute, part, unsafe=not tensor.is_floating_point())
        self._spare_processes()
        method.advance(0.0)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parts' parameters, for an optimiser."""
        for part in self.method.parts.values():
            yield from part.parameters()

    def step(self) -> None:
        """Count a step of the optimiser, and advance the method; raises LoopError after the last step."""
        if self.done == self.steps:
            raise LoopError(
                f"all {self.steps} steps of the schedule are done",
                "call step() once for every step of the optimiser, not for every batch that it gathers, and stop there",
            )
        self.done += 1
        if self.done < self.steps:
            self.method.advance(self.done / self.steps)

    def state(self) -> dict[str, Any]:
        """Return what training has changed so far, the network's own buffers among it; its tensors go on changing."""
        values = {name: dict(part.named_parameters()) for name, part in self.method.parts.items()}
        detached = {name: {own: value.detach() for own, value in of_part.items()} for name, of_part in values.items()}
        return {"done": self.done, "values": detached, "buffers": self._buffers(), "schedule": self.method.state()}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same network, method and steps."""
        for name, part in self.method.parts.items():
            for own, value in part.named_parameters():
                value.copy_(state["values"][name][own])
        for name, buffer in self._buffers().items():
            buffer.copy_(state["buffers"][name])
        self.go_on(state["done"], state["schedule"])

    def go_on(self, done: int, schedule: Mapping[str, Any]) -> None:
        """Enter the schedule where so many steps are done and the method has come to this state."""
        self.method.restore(schedule)
        self.done = done
        self.method.advance(min(done, self.steps - 1) / self.steps)

    def remove(self) -> None:
        """Take the parts out of the network, which is left with the parent's weights, and trainable as it was."""
        if self._held:
            self._held.release()
        self.network._ddp_params_and_buffers_to_ignore = self._ignored  # type: ignore[assignment]
        for _, module, attribute in self._places:
            if parametrize.is_parametrized(module, attribute):
                parametrize.remove_parametrizations(module, attribute, leave_parametrized=False)
        for parameter in self.network.parameters():
            parameter.requires_grad_(self._trainable.get(id(parameter), False))

    def _buffers(self) -> dict[str, Tensor]:
        """Return the network's own buffers; those of the parts, and tensors with parts, are not among them."""
        return {name: buffer for name, buffer in self.network.named_buffers() if name not in self._of_parts}

    def _spare_processes(self) -> None:
        """Keep buffers that are equal in all processes out of what DistributedDataParallel sends at every step.

        These are the parts' own, and int8 tensors with parts.
        """
        own = {id(buffer) for part in self.method.parts.values() for buffer in part.buffers()}
        there = tensors(self.network, self.method.parts)
        own |= {id(there[name]) for name in self.method.parts}
        self._of_parts = {name for name, buffer in self.network.named_buffers() if id(buffer) in own}
        self._ignored = list(getattr(self.network, "_ddp_params_and_buffers_to_ignore", []))
        ignored = [*self._ignored, *self._of_parts]
        self.network._ddp_params_and_buffers_to_ignore = ignored  # type: ignore[assignment]


class _HeldStatistics:
    """A network's layers with running statistics, as BatchNorm, in evaluation mode whatever mode the network is put in.

    A trained diff carries parameters alone.
    """

    def __init__(self, network: nn.Module) -> None:
        self._modes = [(layer, layer.training) for layer in network.modules() if _has_statistics(layer)]
        for layer, _ in self._modes:
            layer.eval()
            layer.train = partial(_stay, layer)  # type: ignore[method-assign]

    def release(self) -> None:
        """Give the layers back as they were."""
        while self._modes:
            layer, training = self._modes.pop()
            del layer.train
            layer.train(training)


def statistics(network: nn.Module) -> list[str]:
    """Return the names of a network's running statistics."""
    layers = {name for name, layer in network.named_modules() if _has_statistics(layer)}
    return [name for name, _ in network.named_buffers() if name.rpartition(".")[0] in layers]


@torch.no_grad()
def load(network: nn.Module, weights: Weights) -> None:
    """Copy weights into a network without parts, by name; names that it lacks are left out."""
    targets = tensors(network)
    for name, array in weights.items():
        if name in targets:
            targets[name].copy_(as_tensor(array, targets[name].dtype))


def as_tensor(array: object, dtype: torch.dtype) -> Tensor:
    """Return an array of a snapshot as a tensor of the network's dtype; bf16 travels as its bits."""
    tensor = torch.as_tensor(array)
    return tensor.view(torch.bfloat16) if dtype == torch.bfloat16 and tensor.dtype != dtype else tensor


def tensors(network: nn.Module, parts: Container[str] = ()) -> dict[str, Tensor]:
    """Return a network's parameters and persistent buffers by name; tied ones come once, by their first name.

    Tensors that have `parts` are those of the parent; the parts' own are left out.
    """
    by_name: dict[str, Tensor] = {}
    seen = set[int]()
    for key, tensor in network.state_dict(keep_vars=True).items():
        name = _ORIGINAL.sub(r"\1", key)
        own = name == key and _PART.sub(r"\1", key) in parts
        if isinstance(tensor, Tensor) and id(tensor) not in seen and not own:
            seen.add(id(tensor))
            by_name[name if name in parts else key] = tensor
    return by_name


def _places(network: nn.Module, parts: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Module, str]]:
    """Yield name, module and attribute of every tensor with a part, several if it is tied; raises MethodError."""
    there = dict(chain(network.named_parameters(remove_duplicate=False), network.named_buffers(remove_duplicate=False)))
    owners = {id(there[name]): name for name in parts if name in there}
    if missing := parts.keys() - there.keys():
        raise MethodError(f"the network has no tensor {min(missing)}")
    for name, tensor in there.items():
        if id(tensor) in owners:
            path, _, attribute = name.rpartition(".")
            yield owners[id(tensor)], network.get_submodule(path), attribute


def _has_statistics(layer: nn.Module) -> bool:
    return getattr(layer, "running_mean", None) is not None


def _stay(layer: nn.Module, _mode: bool = True) -> nn.Module:
    """Stand in for `nn.Module.train`."""
    return layer
