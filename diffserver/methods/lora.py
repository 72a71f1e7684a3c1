"""LoRA (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022), through `peft`.

Low-rank factors of every linear and convolutional layer's change are trained, travel as fp16, and are merged into the
weights on the device's side. The rank is what the budget affords; layers may differ by one.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from diffserver.methods.definition import Definition
from diffserver.methods.factors import Factors, is_matrix, matrix_shape, pack, unpack
from diffserver.methods.method import MethodError, Packed, Steady
from diffserver.methods.recipe import Recipe
from diffserver.methods.setting import Setting

_ADAPTER = "default"
_RESERVE = 0.99
"""The share of the budget that ranks are chosen for: trained factors may take a little more than noise."""


class Lora(Steady):
    """Factors of the changes, the left one zero at first; all other weights stay the parent's."""

    def __init__(self, setting: Setting) -> None:
        self._limit = setting.limit
        self.parent = setting.parent
        layers = _layers(setting)
        shapes = {name: matrix_shape(setting.parent[name].shape) for name in layers}
        self._ranks = choose_ranks(shapes, self._limit)
        self._shapes = {name: shapes[name] for name in self._ranks}
        modules = _wrapped(setting, {layers[name]: rank for name, rank in self._ranks.items()})
        self.parts = {name: Product(module) for name, module in modules.items()}

    def result(self) -> Packed:
        """Return the factors as bytes, which are no payload of a diff; raises MethodError if none fits."""
        payload = self._payload()
        return Packed(payload, self._rebuilt(payload))

    def _payload(self) -> bytes:
        """Return the factors; components that change least for their bytes are dropped until the rest fits."""
        matrices = {name: part.factors() for name, part in self.parts.items()}
        while len(data := pack(matrices)) > self._limit:
            if not any(factors.rank for factors in matrices.values()):
                raise MethodError(f"the budget of {self._limit} bytes is less than an empty payload: raise it")
            name, component = _weakest(matrices)
            matrices[name] = matrices[name].without(component)
        return data

    def _rebuilt(self, payload: bytes) -> dict[str, npt.NDArray[np.float32]]:
        """Return the parent's weights with the payload's products merged into them."""
        weights = dict(self.parent)
        matrices, _ = unpack(payload, self._shapes)
        merged = {
            name: weights[name] + factors.product.reshape(weights[name].shape) for name, factors in matrices.items()
        }
        return weights | merged


class Product(nn.Module):
    """One of peft's layers, the product of whose factors is added to the weights."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.lora_A, self.lora_B = layer.lora_A, layer.lora_B
        self._layer = (layer,)  # in a tuple, so that its own weights are not this module's

    def forward(self, parent: Tensor) -> Tensor:
        """Return the parent's weights plus the product."""
        product: Tensor = self._layer[0].get_delta_weight(_ADAPTER)
        return parent + product.view_as(parent)

    def factors(self) -> Factors:
        """Return both factors as matrices: `[outputs, rank]` and `[rank, inputs (times kernel)]`, rounded to fp16."""
        sides: list[Any] = [self.lora_B, self.lora_A]
        weights = [side[_ADAPTER].weight.detach().cpu().half().float() for side in sides]
        return Factors(*(side.flatten(1).numpy() for side in weights))


def choose_ranks(shapes: Mapping[str, tuple[int, int]], limit: int) -> dict[str, int]:
    """Return each matrix's rank, as even as can be, so that the factors take about `limit` bytes; 0 is left out.

    Raises MethodError if not even one matrix can have a factor.
    """
    costs = {name: sum(shape) for name, shape in shapes.items()}
    if not costs:
        raise MethodError("LoRA finds no linear or convolutional layer with weights on a grid")
    bytes_left = _RESERVE * limit / _bytes_a_number(limit)
    ranks = dict.fromkeys(costs, 0)
    # One component after another to every matrix in turn, the large ones first, as long as there is room.
    while True:
        before = bytes_left
        for name in sorted(costs, key=lambda matrix: -costs[matrix]):
            if costs[name] <= bytes_left and ranks[name] < min(shapes[name]):
                ranks[name], bytes_left = ranks[name] + 1, bytes_left - costs[name]
        if bytes_left == before:
            break
    if not any(ranks.values()):
        raise MethodError(f"the budget of {limit} bytes is less than a LoRA factor takes: raise it")
    return {name: rank for name, rank in ranks.items() if rank}


def _bytes_a_number(limit: int) -> float:
    """Return the coded bytes of an fp16 number of noise, where all take about `limit` bytes together."""
    noise = np.random.default_rng(0).normal(0, 1, (1, max(1, limit // 2))).astype(np.float32)
    return len(pack({"noise": Factors(np.ones((1, 1), np.float32), noise)})) / noise.size


def _layers(setting: Setting) -> dict[str, str]:
    """Return the modules that have a matrix on a grid, by their weight's name."""
    on_grid = {spec.name for spec in setting.table if spec.grid is not None and is_matrix(spec.shape)}
    return {
        f"{name}.weight": name
        for name, module in setting.network.named_modules()
        if f"{name}.weight" in on_grid
        and (isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1))
    }


def _wrapped(setting: Setting, ranks: Mapping[str, int]) -> dict[str, Any]:
    """Return peft's layers by their weight's name, seeded, each with its own rank and scaled by 1."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MethodError(f"LoRA needs {error.name}: pip install 'diffserver[experiment]'") from error
    # A pattern is a regular expression that may match a name's end: `^` and `$` keep it to this one.
    pattern = {f"^{re.escape(name)}$": rank for name, rank in ranks.items()}
    config = LoraConfig(
        r=1, lora_alpha=1, target_modules=list(ranks), rank_pattern=pattern, alpha_pattern=pattern, lora_dropout=0.0
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.seed)
        model = inject_adapter_in_model(config, copy.deepcopy(setting.network))
    return {f"{name}.weight": module for name, module in model.named_modules() if name in ranks}


def _weakest(matrices: Mapping[str, Factors]) -> tuple[str, int]:
    """Return the component whose product is smallest for its bytes, as matrix and number."""

    def sizes(factors: Factors) -> npt.NDArray[np.float64]:
        cost = len(factors.left) + factors.right.shape[1]
        left, right = (factors.left.astype(np.float64) ** 2).sum(0), (factors.right.astype(np.float64) ** 2).sum(1)
        return np.asarray(left * right / cost)

    by_name = {name: sizes(factors) for name, factors in matrices.items() if factors.rank}
    name = min(by_name, key=lambda matrix: float(by_name[matrix].min()))
    return name, int(by_name[name].argmin())


LORA = Definition(Lora, Recipe(steps=1250, learning_rate=1e-2), helpers=("diffserver.methods.factors",), needs="peft")
