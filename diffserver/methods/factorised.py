"""Factorisation, a comparison in the article: the fully retrained model itself, with matrices of low rank.

Truncated singular value decompositions of a network's layers, after Xue, Li and Gong, "Restructuring of Deep Neural
Network Acoustic Models with Singular Value Decomposition" (Interspeech 2013). Components are kept by the squared error
that they remove for their bytes; vectors travel whole. No weight of the parent is used.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import nn

from diffserver.methods.definition import Definition
from diffserver.methods.factors import Factors, Floats, is_matrix, matrix_shape, pack, unpack
from diffserver.methods.method import MethodError, Packed, Steady
from diffserver.methods.setting import Setting


class Factorised(Steady):
    """The retrained model in as many components as fit; nothing is trained."""

    def __init__(self, setting: Setting) -> None:
        self._limit, self._full = setting.limit, setting.retrained()
        specs = [spec for spec in setting.table if spec.grid is not None and spec.size]
        self._shapes = {spec.name: matrix_shape(spec.shape) for spec in specs if is_matrix(spec.shape)}
        self._dense = {spec.name: spec.shape for spec in specs if not is_matrix(spec.shape)}
        self._whole = {name: _decomposed(self._full[name].reshape(shape)) for name, shape in self._shapes.items()}
        self.parent, self.parts = setting.parent, dict[str, nn.Module]()

    def result(self) -> Packed:
        """Return factors and vectors as bytes, which are no payload of a diff; raises MethodError if nothing fits."""
        payload = self._payload()
        return Packed(payload, self._rebuilt(payload))

    def _payload(self) -> bytes:
        """Return the most components that fit, with all vectors; raises MethodError if not even the vectors do."""
        order = self._order()
        fits, too_many = -1, len(order) + 1
        data = b""
        while too_many - fits > 1:
            count = (fits + too_many) // 2
            candidate = pack(self._truncated(order[:count]), [self._full[name] for name in self._dense])
            if len(candidate) <= self._limit:
                fits, data = count, candidate
            else:
                too_many = count
        if fits < 0:
            raise MethodError(f"the budget of {self._limit} bytes is less than the model's vectors take: raise it")
        return data

    def _rebuilt(self, payload: bytes) -> dict[str, npt.NDArray[np.float32]]:
        """Return the products and the vectors; tensors off the grid stay as they are."""
        factors_by_name, dense = unpack(payload, self._shapes, list(self._dense.values()))
        products = {name: factors.product.reshape(self._full[name].shape) for name, factors in factors_by_name.items()}
        return {**self._full, **products, **dict(zip(self._dense, dense, strict=True))}

    def _order(self) -> list[str]:
        """Return the name of each component's matrix, the best component first; each matrix has them by size."""
        gains = [
            (-(float(size) ** 2) / sum(self._shapes[name]), name)
            for name, whole in self._whole.items()
            for size in np.linalg.norm(whole.left, axis=0) * np.linalg.norm(whole.right, axis=1)
        ]
        return [name for _, name in sorted(gains)]

    def _truncated(self, components: list[str]) -> dict[str, Factors]:
        ranks = {name: components.count(name) for name in self._whole}
        return {
            name: Factors(whole.left[:, : ranks[name]], whole.right[: ranks[name]])
            for name, whole in self._whole.items()
        }


def _decomposed(matrix: Floats) -> Factors:
    """Return all components, the largest first, with the singular values' roots on either side."""
    left, sizes, right = np.linalg.svd(matrix, full_matrices=False)
    roots = np.sqrt(sizes)
    return Factors(left * roots, roots[:, None] * right)


FACTORISED = Definition(Factorised, teacher="chain", helpers=("diffserver.methods.factors",))
