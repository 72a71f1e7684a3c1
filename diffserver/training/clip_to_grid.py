"""Round retrained weights to the grids of their table, and clip them to the grids' ends.

Over a chain an unconstrained weight, such as a bias before a normalisation, can drift out of the grid that version 0
chose. Checkpoints are not clipped: their tensors get another grid (`checkpoints.outgrown`).
"""

import math
from collections.abc import Mapping

import numpy as np

from diffclient.tensors import arithmetic
from diffclient.tensors.snapshot import Array, Table


def enter(table: Table, weights: Mapping[str, Array]) -> list[Array]:
    """Return the tensors in the table's order; those off the grid are unchanged."""
    return [weights[spec.name] if spec.grid is None else _on_grid(weights[spec.name], spec.grid) for spec in table]


def _on_grid(weights: Array, grid: int) -> Array:
    end = np.float32(math.ldexp(arithmetic.LIMIT, -grid))
    return arithmetic.from_grid(arithmetic.round_to_grid(np.clip(weights, -end, end), grid), grid)
