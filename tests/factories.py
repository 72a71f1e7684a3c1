"""Small models and diffs for tests: seeded, on the grid, ready to be written."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffclient.diff.streams import Diff, Exact, Hashed, Sparse
from diffclient.tensors.snapshot import Array, Snapshot, Table, enter_grid, write_snapshot

SHAPES = {"conv.weight": (24, 8, 5), "conv.bias": (24,), "head.weight": (30, 24), "scale": ()}


class Version(NamedTuple):
    """A snapshot on disk with its digest."""

    snapshot: Snapshot
    digest: str

    @property
    def table(self) -> Table:
        """The tensor table."""
        return self.snapshot.table


def tensors(seed: int = 0, shapes: dict[str, tuple[int, ...]] = SHAPES) -> dict[str, Array]:
    """Random fp32 tensors by name."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}


def write_version(path: Path, seed: int = 0, shapes: dict[str, tuple[int, ...]] = SHAPES) -> Version:
    """A random version 0 in a snapshot file."""
    table, arrays = enter_grid(tensors(seed, shapes))
    digest = write_snapshot(path, table, [arrays[spec.name] for spec in table])
    return Version(Snapshot(path), digest)


def sparse_stream(
    rng: np.random.Generator, size: int, density: float, levels: int = 15, step: int | None = None
) -> Sparse | None:
    """Uniform positions, Gaussian values clipped to `levels` levels; None where nothing was drawn."""
    positions = np.flatnonzero(rng.random(size) < density)
    if positions.size == 0:
        return None
    top = levels // 2
    drawn = np.clip(np.rint(rng.normal(0, 1, positions.size) * top / 3), -top, top).astype(np.int32)
    drawn[drawn == 0] = 1
    return Sparse(positions, drawn, step or int(rng.integers(1, 5000)))


def sparse_diff(table: Table, seed: int = 1, density: float = 0.05, step: int | None = None) -> Diff:
    """A random sparse diff for the table's tensors on the grid, of this step or random ones."""
    rng = np.random.default_rng(seed)
    streams = (sparse_stream(rng, spec.size, density, step=step) if spec.grid else None for spec in table)
    return Diff("sparse", tuple(streams))


def outgrowing_diff(table: Table, coarser: str, leaving: str, by: int = 5) -> Diff:
    """An exact diff that sends one tensor to a grid that is coarser by some bits, and takes another off its grid."""
    streams: list[Exact | None] = [None] * len(table)
    grids: dict[int, int | None] = {}
    for number, spec in enumerate(table):
        if spec.name in (coarser, leaving):
            streams[number] = Exact(np.arange(0, spec.size, 2), np.full(-(-spec.size // 2), 9))
            grids[number] = None if spec.name == leaving else (spec.grid or 0) - by
    return Diff("exact", tuple(streams), grids=grids)


def hashed_diff(table: Table, seed: int = 1, share: float = 0.1) -> Diff:
    """A random hashed diff with share × size buckets a tensor."""
    rng = np.random.default_rng(seed)
    streams = tuple(
        Hashed(rng.integers(-7, 8, max(1, int(share * spec.size))).astype(np.int32), step=700)
        if spec.grid is not None
        else None
        for spec in table
    )
    return Diff("hashed", streams, seed=seed)
