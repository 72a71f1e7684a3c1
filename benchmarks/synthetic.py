"""Make models and diffs from seeds: uniform positions, Gaussian values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmarks import limits
from benchmarks.cases import Case
from diffclient.diff.streams import Diff, Exact, Positions, Sparse
from diffclient.tensors import arithmetic, ordinals
from diffclient.tensors.snapshot import Array, Table, TensorSpec, enter_grid

TOP = 7
"""The largest level of 15, -7 to 7."""
SPREAD = 0.05
"""Standard deviation of the weights."""
CHANGE = 0.01
"""Standard deviation of the values."""

Reasons = Mapping[str, str]


def draw_levels(rng: np.random.Generator, k: int, scale: float | None = None) -> tuple[npt.NDArray[np.int32], float]:
    """Draw k levels that are not 0, and the scale: Gaussian values / scale, rounded, cut to -7 … 7.

    Values are drawn until k of them do not round to 0; the others are dropped. The default scale is the 99.9th
    percentile of the magnitude of all values drawn (zeros included) / 7.
    """
    values = rng.normal(0, CHANGE, int(k * 1.3) + 1000)
    scale = scale or float(np.quantile(np.abs(values), 0.999)) / TOP
    rounded = np.clip(np.rint(values / scale), -TOP, TOP).astype(np.int32)
    return rounded[rounded != 0][:k], scale


def draw_positions(rng: np.random.Generator, n: int, k: int) -> Positions:
    """Draw k of n positions uniformly, without repetition, in order."""
    return np.sort(rng.choice(n, k, replace=False, shuffle=False)).astype(np.int64)


def uniform(name: str, n: int, density: float, left_out: Reasons, seed: int = 1) -> Case:
    """Return one fp32 tensor of n weights on its grid, of which density × n change."""
    rng = np.random.default_rng(seed)
    rows = next(side for side in range(int(n**0.5), 0, -1) if n % side == 0)
    table, arrays = enter_grid({"weight": rng.normal(0, SPREAD, (rows, n // rows)).astype(np.float32)})
    k = round(n * density)
    levels, scale = draw_levels(rng, k)
    stream = Sparse(draw_positions(rng, n, k), levels, _units(scale, table[0]))
    note = "seeded: uniform positions, Gaussian values, scale = 99.9th percentile / 7; values that round to 0 left out"
    limit = limits.uniform_limit(n, levels)
    return Case(name, table, Diff("sparse", (stream,)), limit, (arrays["weight"],), note, left_out)


def many_tensors(name: str, tensors: int, k: int, left_out: Reasons, seed: int = 2) -> Case:
    """Return `tensors` tensors of 2,500 to 25,000 weights of different scales, of which k weights change in all."""
    rng = np.random.default_rng(seed)
    sides = rng.integers(50, 159, tensors)  # squares of 2,500 to 24,964 weights
    scales = np.exp(rng.uniform(np.log(0.005), np.log(0.5), tensors))
    named = {
        f"layers.{index:03}.weight": rng.normal(0, scale, (side, side)).astype(np.float32)
        for index, (side, scale) in enumerate(zip(sides.tolist(), scales.tolist(), strict=True))
    }
    table, arrays = enter_grid(named)
    sizes = np.array([spec.size for spec in table])
    flat, (levels, scale) = draw_positions(rng, int(sizes.sum()), k), draw_levels(rng, k)
    ends = np.cumsum(sizes)
    cuts = np.searchsorted(flat, ends)
    streams = []
    for spec, spread, start, first, last in zip(table, scales, ends - sizes, [0, *cuts[:-1]], cuts, strict=True):
        step = three_bits(_units(scale * spread / SPREAD, spec))
        streams.append(Sparse(flat[first:last] - start, levels[first:last], step) if last > first else None)
    note = "seeded: uniform positions over the model, Gaussian values in a scale of each tensor's, steps of three bits"
    limit = limits.uniform_limit(int(sizes.sum()), levels)
    return Case(
        name, table, Diff("sparse", tuple(streams)), limit, tuple(arrays[s.name] for s in table), note, left_out
    )


def three_bits(step: int) -> int:
    """Return the step m × 2^j, with m from 4 to 8, that is nearest to `step`."""
    shift = max(0, step.bit_length() - 3)
    return max(1, round(step / (1 << shift))) << shift


def large(name: str, tensors: int, side: int, density: float, seed: int = 3) -> Case:
    """Return tensors of side × side, of which a share `density` of the weights changes; without parent weights."""
    rng = np.random.default_rng(seed)
    table = tuple(TensorSpec(f"layers.{index:03}.weight", (side, side), "F32", 21) for index in range(tensors))
    k, streams = round(side * side * density), []
    scale: float | None = None
    for spec in table:
        levels, scale = draw_levels(rng, k, scale)
        streams.append(Sparse(draw_positions(rng, spec.size, k), levels, _units(scale, spec)))
    limit = limits.uniform_limit(side * side * tensors, np.concatenate([stream.levels for stream in streams]))
    note = "seeded: as many uniform positions in each tensor, Gaussian values; there are no weights"
    left_out = {"nncodec": "slow: it takes dense tensors"}
    return Case(name, table, Diff("sparse", tuple(streams)), limit, None, note, left_out)


def exact(name: str, dtype: type[np.float32 | np.float16], n: int, density: float, seed: int = 4) -> Case:
    """Return one tensor off the grid, of which density × n weights get the bits of random finite numbers."""
    rng = np.random.default_rng(seed)
    old = rng.normal(0, SPREAD, n).astype(dtype)
    old[old == 0] = 0  # no minus zero
    table: Table = (TensorSpec("weight", (n,), {4: "F32", 2: "F16"}[old.itemsize], None),)
    k = round(n * density)
    positions = draw_positions(rng, n, k)
    new, patterns = _any_finite(rng, old[positions])
    deltas = ordinals.subtract(new, old[positions], table[0].dtype)
    limit = (limits.positions_bits(n, k) + k * np.log2(patterns - 1)) / 8
    note = "seeded: uniform positions, every finite bit pattern but the old one and minus zero as likely as any other"
    return Case(name, table, Diff("exact", (Exact(positions, deltas),)), limit, (old,), note)


def fine_tuned(name: str, n: int, density: float, seed: int = 5) -> Case:
    """Return one fp32 tensor off the grid, of which density × n weights move by a Gaussian value."""
    base = exact(name, np.float32, n, density, seed)
    assert base.weights is not None
    (stream,), (old,) = base.diff.streams, base.weights
    assert isinstance(stream, Exact)
    before = old[stream.positions]
    after = before + np.random.default_rng(seed).normal(0, CHANGE, len(before)).astype(np.float32)
    deltas = ordinals.subtract(after, before, "F32")
    kept = deltas != 0
    diff = Diff("exact", (Exact(stream.positions[kept], deltas[kept]),))
    return replace(base, diff=diff, limit_bytes=None, note="seeded: uniform positions, weights plus Gaussian values")


def stand_in(table: Table, seed: int = 6) -> tuple[Array, ...]:
    """Return Gaussian weights on the table's grids, in place of trained ones, as input of byte-level peers."""
    rng, limit = np.random.default_rng(seed), 1 << 21
    return tuple(_on_grid(np.clip(rng.normal(0, limit / 5, spec.shape), -limit, limit), spec) for spec in table)


def _on_grid(units: npt.NDArray[np.float64], spec: TensorSpec) -> Array:
    assert spec.grid is not None
    return arithmetic.from_grid(np.rint(units).astype(np.int32), spec.grid)


def _units(scale: float, spec: TensorSpec) -> int:
    assert spec.grid is not None
    return max(1, round(scale * 2.0**spec.grid))


def _any_finite(rng: np.random.Generator, old: Array) -> tuple[Array, int]:
    """Return new weights, all different from the old, and the number of bit patterns to choose from."""
    bits = np.dtype(f"u{old.itemsize}")
    infinity = int(np.array(np.inf, old.dtype).view(bits))
    new = old.copy()
    while (same := new == old).any():
        drawn = rng.integers(0, 2 * infinity - 1, int(same.sum())).astype(np.int64)
        # The negative numbers follow the positive ones; minus zero, which would be the first of them, is left out.
        drawn += np.where(drawn >= infinity, (1 << (8 * old.itemsize - 1)) - infinity + 1, 0)
        new[same] = drawn.astype(bits).view(old.dtype)
    return new, 2 * infinity - 1
