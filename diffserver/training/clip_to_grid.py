"""Freely trained weights on the grids of their line: rounded, and cut where a grid ends.

Over a chain a weight that nothing holds in place, a bias before a normalisation, walks out of a grid that was chosen
by version 0. What an operator brings as a checkpoint is not cut: it gets another grid (`checkpoints.outgrown`).
"""

import math
from collections.abc import Mapping

import numpy as np

from diffclient.tensors import arithmetic
from diffclient.tensors.snapshot import Array, Table


def enter(table: Table, weights: Mapping[str, Array]) -> list[Array]:
    """Return the tensors in the table's order; those that it gives no grid are as they were."""
    return [weights[spec.name] if spec.grid is None else _on_grid(weights[spec.name], spec.grid) for spec in table]


def _on_grid(weights: Array, grid: int) -> Array:
    end = np.float32(math.ldexp(arithmetic.LIMIT, -grid))
    return arithmetic.from_grid(arithmetic.round_to_grid(np.clip(weights, -end, end), grid), grid)
