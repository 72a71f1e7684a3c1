"""A sparse diff that comes near within its budget: never longer, never out of range, better for more bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffclient.diff.apply import apply
from diffclient.diff.streams import Diff, Sparse
from diffclient.payload.encode import encode
from diffclient.tensors.snapshot import Array, Snapshot, fp32_bytes
from diffclient.tensors.tensor_table import TensorSpec
from diffserver.checkpoints.changes import Change, find_changes
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.checkpoints.nearest_sparse import sparse
from diffserver.checkpoints.quantise import left_out
from diffserver.errors import Invalid
from tests.server.checkpoint_files import mixed, version, write

GRID = 21
INT8 = st.integers(-128, 127)


def drift(size: int, seed: int, scale: float = 0.002) -> Change:
    """One tensor whose every weight moves a little."""
    rng = np.random.default_rng(seed)
    old = np.rint(rng.normal(0, 0.1, size) * 2**GRID).astype(np.int32)
    moved = np.rint(rng.laplace(0, scale, size) * 2**GRID).astype(np.int32)
    return Change(TensorSpec(f"w{seed}", (size,), "F32", GRID), old, old + moved)


def moved(change: Change) -> Array:
    """By how much each weight is to move."""
    ((old, new),) = change.pieces()
    return new.astype(np.float64) - old


def error(change: Change, stream: object) -> float:
    """The squared error that is left, as a share of what doing nothing leaves."""
    target = moved(change)
    remainder = target.copy()
    if isinstance(stream, Sparse):
        remainder[stream.positions] -= stream.levels.astype(np.float64) * stream.step
    return float(np.sum(remainder**2) / np.sum(target**2))


def test_more_bytes_come_nearer_and_none_are_wasted() -> None:
    change = drift(60_000, seed=1)
    errors = []
    for share in (0.005, 0.02, 0.08):
        limit = int(share * 4 * 60_000)
        diff = sparse([change], limit)
        length = len(encode(diff, (change.spec,), "0" * 64))
        assert 0.9 * limit <= length <= limit
        errors.append(error(change, diff.streams[0]))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.1


def test_neither_a_finer_nor_a_coarser_step_would_do_better() -> None:
    change = drift(30_000, seed=2)
    limit = 2400
    nearest = sparse([change], limit).streams[0]
    assert isinstance(nearest, Sparse)
    target = moved(change)
    sizes = np.sort(np.abs(target))[::-1]

    def best_with(step: int) -> float:
        """By trying every hundredth count of changes."""
        least = 1.0
        for count in range(100, 6000, 100):
            positions = np.flatnonzero(np.abs(target) > sizes[count])
            levels = np.rint(target[positions] / step).astype(np.int32)
            stream = Sparse(positions[levels != 0], levels[levels != 0], step)
            if len(stream.positions) and _length(change, stream) <= limit:
                least = min(least, error(change, stream))
        return least

    own_error = error(change, nearest)
    assert own_error <= min(best_with(nearest.step * 2), best_with(nearest.step // 2))
    assert own_error <= 1.03 * best_with(nearest.step), "and the count of changes is nearly the best as well"


def _length(change: Change, stream: Sparse) -> int:
    return len(encode(Diff("sparse", (stream,)), (change.spec,), "0" * 64))


def steps(size: int, seed: int, dtype: str, share: float) -> Change:
    """A tensor of which some weights move by one step of their dtype, up or down: all by the same."""
    rng = np.random.default_rng(seed)
    moved = rng.choice([-1, 0, 1], size, p=[share / 2, 1 - share, share / 2])
    if dtype == "I8":
        old = rng.integers(-120, 120, size).astype(np.int8)
        return Change(TensorSpec(f"q{seed}", (size // 10, 10), "I8", None), old, (old + moved).astype(np.int8))
    old = (rng.normal(0, 0.05, size).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return Change(TensorSpec(f"h{seed}", (size // 10, 10), "BF16", None), old, (old + moved).astype(np.uint16))


@pytest.mark.parametrize("limit", [100, 690, 6900])
@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("dtype", ["I8", "BF16"])
def test_equal_changes_fill_the_budget_the_first_of_them(dtype: str, share: float, limit: int) -> None:
    changes = [steps(40_000, seed, dtype, share) for seed in (1, 2)]
    table = tuple(change.spec for change in changes)
    diff = sparse(changes, limit)
    assert 0.95 * limit <= len(encode(diff, table, "0" * 64)) <= limit
    assert [*map(repr, sparse(changes, limit).streams)] == [*map(repr, diff.streams)], (
        "the rule leaves nothing to chance"
    )
    if dtype == "I8":
        changed = np.concatenate([np.flatnonzero(moved(change)) for change in changes])
        positions = np.concatenate([stream.positions for stream in diff.streams if isinstance(stream, Sparse)])
        assert np.array_equal(positions, changed[: len(positions)])


def test_with_bytes_enough_nothing_is_lost() -> None:
    change = drift(2000, seed=3)
    (stream,) = sparse([change], 8000).streams
    assert error(change, stream) == 0.0


def test_the_largest_changes_are_kept_whatever_their_tensor() -> None:
    small, large = drift(5000, seed=4, scale=1e-5), drift(5000, seed=5, scale=1e-2)
    few, many = sparse([small, large], 800).streams
    assert few is None
    assert many is not None


@pytest.mark.parametrize("limit", [0, 40])
def test_a_budget_that_holds_no_change_is_refused(limit: int) -> None:
    with pytest.raises(Invalid, match=f"the budget of {limit} bytes"):
        sparse([drift(1000, seed=6)], limit)


def test_nothing_to_say_is_refused() -> None:
    change = drift(10, seed=7)
    with pytest.raises(Invalid, match="no weight changes"):
        sparse([Change(change.spec, change.old, change.old)], 1000)


@settings(max_examples=30)
@given(st.lists(st.tuples(INT8, INT8), min_size=1, max_size=40), st.integers(80, 400))
def test_int8_weights_stay_int8(pairs: list[tuple[int, int]], limit: int) -> None:
    old, new = np.array(pairs, np.int8).T
    change = Change(TensorSpec("q", (len(old),), "I8", None), old, new)
    try:
        (stream,) = sparse([change], limit).streams
    except Invalid:
        return
    assert isinstance(stream, Sparse)
    ends = old.astype(np.int64)
    ends[stream.positions] += stream.levels.astype(np.int64) * stream.step
    assert ends.min() >= -128
    assert ends.max() <= 127


def test_weights_at_the_end_of_their_grid_stay_on_it() -> None:
    limit = 1 << 24
    old = np.full(300, limit - 5000, np.int32)
    new = old + np.arange(300, dtype=np.int32) * 16
    (stream,) = sparse([Change(TensorSpec("w", (300,), "F32", GRID), old, new)], 120).streams
    assert isinstance(stream, Sparse)
    assert (old[stream.positions] + stream.levels.astype(np.int64) * stream.step).max() <= limit


def test_all_dtypes_together_come_nearer_and_what_only_exact_can_change_is_named(tmp_path: Path) -> None:
    parent = version(tmp_path / "parent", mixed(0))
    tensors = dict(mixed(0))
    rng = np.random.default_rng(1)
    for name in ("grid", "half"):
        dtype, array = tensors[name]
        tensors[name] = (dtype, (array + rng.normal(0, 0.01, array.shape)).astype(array.dtype))
    tensors["bfloat"], tensors["off"], tensors["count"] = (mixed(1)[name] for name in ("bfloat", "off", "count"))
    changes = list(find_changes(Checkpoint(write(tmp_path / "c", tensors)), parent))
    assert left_out(changes) == ["count", "off"]
    diff = sparse(changes, int(0.2 * fp32_bytes(parent.table)))
    apply(parent, [diff], tmp_path / "version")
    after = Snapshot(tmp_path / "version")
    for name in ("grid", "half"):
        target = tensors[name][1].astype(np.float64)
        before, now = (np.abs(snapshot.read(name) - target).mean() for snapshot in (parent, after))
        assert now < 0.5 * before, name
    assert after.read("off").tobytes() == parent.read("off").tobytes()
