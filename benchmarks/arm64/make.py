"""Make a version 0 and a chain of five payloads, and record their contents and the expected digests.

usage: make.py FOLDER; writes 0.safetensors, 1.ndiff … 5.ndiff, chain.json
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import model
import numpy as np
import numpy.typing as npt
from walk import WHOLE

from diffclient.diff.apply import apply
from diffclient.diff.streams import Diff, Exact, Hashed, Sparse
from diffclient.payload import frame, records
from diffclient.payload.encode import encode
from diffclient.tensors import arithmetic, ordinals
from diffclient.tensors.arithmetic import ONE
from diffclient.tensors.snapshot import Snapshot, Table, TensorSpec

Random = np.random.Generator

EXPONENTS = {"half.weight": 16, "half.tiny": 24, "brain.weight": 16, "brain.tiny": 126}
"""Exponents of tensors off the grid; 2^-24 is fp16's smallest number, 2^-126 bf16's smallest normal one."""

TINY = ("half.tiny", "brain.tiny")

KERNEL = 8
"""The longest last axis that counts as a convolution's kernel."""


def main() -> None:
    """Make the chain; versions in between are not kept."""
    folder, rng = Path(sys.argv[1]), np.random.default_rng(20)
    model.write_version_0(folder / "0.safetensors", rng)
    version = Snapshot(folder / "0.safetensors")
    digests, payloads = {"0": version.digest()}, []
    with tempfile.TemporaryDirectory() as scratch:
        for number, make in enumerate(STEPS, 1):
            diff, parent = make(rng, version), digests[str(number - 1)]
            data = encode(diff, version.table, parent)
            (folder / f"{number}.ndiff").write_bytes(data)
            payloads.append(describe(data, version.table, parent))
            digests[str(number)] = apply(version, [diff], Path(scratch, str(number)))
            version = Snapshot(Path(scratch, str(number)))
    digests[WHOLE] = digests[str(len(STEPS))]
    (folder / "chain.json").write_text(json.dumps({"payloads": payloads, "digests": digests}, indent=2))


def describe(data: bytes, table: Table, parent_digest: str) -> dict[str, Any]:
    """Return the features of the format that a payload uses."""
    parsed = frame.read(data, len(table), parent_digest)
    layouts = records.read(parsed.records, parsed.kind, table, parsed.version).layouts
    return {
        "kind": parsed.kind,
        "alpha": parsed.alpha / ONE,
        "beta": parsed.beta / ONE,
        "bytes": len(data),
        "tensors": sum(layout is not None for layout in layouts),
        "block_sizes": sorted({layout.block for layout in layouts if layout}),
    }


def sparse(rng: Random, version: Snapshot, share: float, alpha: int = ONE, beta: int = ONE) -> Diff:
    """Return a sparse diff that changes about `share` of the weights."""
    streams = [_sparse(rng, spec, share) if _takes_levels(spec) else None for spec in version.table]
    return Diff("sparse", tuple(streams), alpha, beta)


def hashed(rng: Random, version: Snapshot, alpha: int = ONE, beta: int = ONE) -> Diff:
    """Return a hashed diff with a bucket for every nine weights."""
    streams = [_hashed(rng, spec) if _takes_levels(spec) else None for spec in version.table]
    return Diff("hashed", tuple(streams), alpha, beta, seed=int(rng.integers(1 << 32)))


def exact(rng: Random, version: Snapshot) -> Diff:
    """Return an exact diff that permutes some of each tensor's weights."""
    streams = [_exact(rng, spec, version.read(spec.name).reshape(-1)) for spec in version.table]
    return Diff("exact", tuple(streams))


def _takes_levels(spec: TensorSpec) -> bool:
    return spec.size > 0 and (spec.grid is not None or spec.dtype in ("F16", "BF16", "I8"))


def _sparse(rng: Random, spec: TensorSpec, share: float) -> Sparse | None:
    positions = np.flatnonzero(_changed(rng, spec.shape or (1,), share))
    levels = _levels(rng, spec, len(positions))
    kept = levels != 0
    return Sparse(positions[kept], levels[kept], _step(spec), EXPONENTS.get(spec.name)) if kept.any() else None


def _changed(rng: Random, shape: tuple[int, ...], share: float) -> npt.NDArray[np.bool_]:
    """Return a mask of changed weights: convolutions by kernel row, other tensors weight by weight."""
    if shape[-1] > KERNEL or share == 1:
        return rng.random(shape) < share
    rows = rng.random((*shape[:-1], 1)) < share
    return rows & (rng.random(shape) < 0.8)


def _hashed(rng: Random, spec: TensorSpec) -> Hashed:
    return Hashed(_levels(rng, spec, -(-spec.size // 9)), _step(spec), EXPONENTS.get(spec.name))


def _levels(rng: Random, spec: TensorSpec, count: int) -> npt.NDArray[np.int32]:
    few = spec.dtype == "I8" or spec.name in TINY or ".conv" in spec.name
    return np.rint(rng.laplace(0, 2 if few else 40, count)).clip(-500, 500).astype(np.int32)


def _step(spec: TensorSpec) -> int:
    return 1 if spec.dtype == "I8" or spec.name in TINY else 37


def _exact(rng: Random, spec: TensorSpec, before: npt.NDArray[Any]) -> Exact | None:
    after = np.where(rng.random(spec.size) < 0.3, rng.permutation(before), before)
    if spec.grid is not None:
        deltas = arithmetic.to_grid(after, spec.grid).astype(np.int64) - arithmetic.to_grid(before, spec.grid)
    else:
        deltas = ordinals.subtract(after, before, spec.dtype)
    positions = np.flatnonzero(deltas)
    return Exact(positions, deltas[positions]) if len(positions) else None


STEPS: tuple[Callable[[Random, Snapshot], Diff], ...] = (
    partial(sparse, share=0.02),
    partial(hashed, alpha=ONE * 49 // 50, beta=ONE * 5 // 4),
    exact,
    partial(sparse, share=1, alpha=ONE + 77, beta=-ONE // 2),
    partial(hashed),
)
"""The functions that make the diff to each version."""

if __name__ == "__main__":
    main()
