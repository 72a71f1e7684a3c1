from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diffclient.diff.apply import apply
from diffclient.diff.streams import CHUNK, Diff, Exact, Hashed, Piece, Sparse, Stream
from diffclient.errors import PayloadError, RangeError, SnapshotError
from diffclient.payload.decode import open_payload
from diffclient.payload.encode import encode
from diffclient.tensors import ordinals
from diffclient.tensors.arithmetic import FACTOR_LIMIT, LIMIT, ONE
from diffclient.tensors.snapshot import DTYPES, Array, Snapshot, Table, TensorSpec, enter_grid, write_snapshot
from tests.client import by_hand
from tests.factories import SHAPES, Version, hashed_diff, outgrowing_diff, sparse_diff, write_version

FACTORS = [(ONE, ONE), (ONE * 3 // 4, -ONE // 2), (0, ONE), (ONE + 1, 7), (ONE, ONE // 3)]
COMBINED = ["F32", "I8", "F16", "BF16"]
"""What sparse and hashed diffs can change."""

ALL = tuple(by_hand.WIDTHS)

EXPONENT = 12
"""Of the diffs of F16 and BF16 tensors in these tests."""

LONG = CHUNK + 1000
"""Weights that take a chunk and a little of the next."""


def random_weights(dtype: str, size: int, rng: np.random.Generator) -> Array:
    """Weights as they come out of training, near each other in size."""
    if dtype == "BF16":
        return (rng.normal(0, 1, size).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    if dtype in by_hand.FLOATS:
        return rng.normal(0, 1, size).astype(DTYPES[dtype])
    top = 1 if dtype == "BOOL" else 60
    return rng.integers(0, top, size, endpoint=True).astype(np.bool_ if dtype == "BOOL" else DTYPES[dtype])


def mixed_version(path: Path, size: int = 200, dtypes: Sequence[str] = ALL) -> Version:
    """A version with a tensor of each dtype, a second F32 tensor that is off the grid, and one without weights."""
    rng = np.random.default_rng(3)
    tensors = {dtype: random_weights(dtype, size, rng) for dtype in dtypes}
    tensors["F32 off the grid"], tensors["nothing"] = random_weights("F32", 20, rng), np.zeros((0, 3), np.float32)
    table, arrays = enter_grid(tensors, off_grid=["F32 off the grid"], dtypes={"BF16": "BF16"})
    digest = write_snapshot(path, table, [arrays[spec.name] for spec in table])
    return Version(Snapshot(path), digest)


def patterns(weights: Array) -> list[int]:
    values: list[int] = weights.reshape(-1).view(f"u{weights.itemsize}").tolist()
    return values


def some_places(spec: TensorSpec, rng: np.random.Generator) -> Array:
    return np.sort(rng.choice(spec.size, max(1, spec.size // 3), replace=False))


def step_of(spec: TensorSpec) -> int:
    return 1 if spec.dtype == "I8" else 300


def sparse_stream(spec: TensorSpec, rng: np.random.Generator) -> Stream:
    places = some_places(spec, rng)
    levels = rng.choice([-7, -2, -1, 1, 2, 7], len(places)).astype(np.int32)
    return Sparse(places, levels, step_of(spec), None if spec.grid else EXPONENT)


def hashed_stream(spec: TensorSpec, rng: np.random.Generator) -> Stream:
    levels = rng.integers(-3, 4, max(1, spec.size // 5)).astype(np.int32)
    return Hashed(levels, step_of(spec), None if spec.grid else EXPONENT)


def exact_stream(spec: TensorSpec, rng: np.random.Generator) -> Stream:
    places = some_places(spec, rng)
    return Exact(places, np.ones(len(places), np.int64))


def diff_of(table: Table, kind: str, dtypes: Sequence[str]) -> Diff:
    """A random diff of the tensors that have these dtypes; sparse and hashed ones only of those on a grid."""
    rng = np.random.default_rng(5)
    make = {"sparse": sparse_stream, "hashed": hashed_stream, "exact": exact_stream}[kind]

    def touched(spec: TensorSpec) -> bool:
        return spec.size > 0 and spec.dtype in dtypes and (spec.dtype != "F32" or spec.grid is not None)

    streams = tuple(make(spec, rng) if touched(spec) else None for spec in table)
    return Diff(kind, streams, seed=77)  # type: ignore[arg-type]


def values_of(diff: Diff, table: Table) -> dict[str, Array]:
    """What the pieces of a diff add to each tensor, whole: int64, 0 where they say nothing."""
    pieces = diff.pieces(table)
    whole = {}
    for spec in table:
        whole[spec.name] = np.zeros(spec.size, np.int64)
        for start in range(0, spec.size, CHUNK):
            piece = next(pieces)
            if piece is not None:
                chunk = whole[spec.name][start : start + CHUNK]
                chunk[slice(None) if piece.positions is None else piece.positions] = piece.values
    assert next(pieces, None) is None
    return whole


def changed_by_hand(spec: TensorSpec, pattern: int, value: int, diff: Diff) -> int | None:
    if diff.kind == "exact" and spec.grid is None:
        return by_hand.moved(pattern, value, spec.dtype)
    if spec.grid is not None:
        return by_hand.on_grid(pattern, value, diff.alpha, diff.beta, spec.grid)
    if spec.dtype == "I8":
        return by_hand.int8(pattern, value, diff.alpha, diff.beta)
    return by_hand.half(pattern, value, diff.alpha, diff.beta, EXPONENT, spec.dtype)


def check_by_hand(version: Version, diff: Diff, after: Snapshot) -> None:
    values = values_of(diff, version.table)
    for index, spec in enumerate(version.table):
        before, result = patterns(version.snapshot.read(spec.name)), patterns(after.read(spec.name))
        if diff.touches(index):
            added = values[spec.name].tolist()
            before = [changed_by_hand(spec, p, v, diff) for p, v in zip(before, added, strict=True)]  # type: ignore[misc]
        assert before == result, spec


@pytest.mark.parametrize("kind", ["sparse", "hashed"])
@pytest.mark.parametrize(("alpha", "beta"), FACTORS)
def test_weights_become_the_linear_combination_to_the_bit(tmp_path: Path, kind: str, alpha: int, beta: int) -> None:
    version = mixed_version(tmp_path / "0")
    diff = replace(diff_of(version.table, kind, COMBINED), alpha=alpha, beta=beta)
    digest = apply(version.snapshot, [diff], tmp_path / "1")
    after = Snapshot(tmp_path / "1")
    assert after.digest() == digest != version.digest
    check_by_hand(version, diff, after)


def test_a_chain_goes_on_over_tensors_that_leave_their_grids(tmp_path: Path) -> None:
    first = write_version(tmp_path / "0")
    versions, payloads, table = [first], [], first.table
    for number in range(1, 5):
        parent = versions[-1]
        diff = outgrowing_diff(parent.table, "conv.weight", "head.weight") if number == 2 else sparse_diff(parent.table)
        data = encode(diff, parent.table, parent.digest)
        digest = apply(parent.snapshot, [diff], tmp_path / str(number))
        versions.append(Version(Snapshot(tmp_path / str(number)), digest))
        payloads.append(open_payload(data, table, parent.digest))
        table = payloads[-1].table_after
    assert apply(first.snapshot, payloads, tmp_path / "whole") == versions[-1].digest
    assert Snapshot(tmp_path / "whole").table == versions[-1].table == table
    grids = [{spec.name: spec.grid for spec in version.table} for version in versions]
    old = grids[0]["conv.weight"]
    assert old is not None
    assert grids[0] == grids[1]
    assert grids[2] == grids[3] == grids[4] == grids[0] | {"conv.weight": old - 5, "head.weight": None}
    before, after = (version.snapshot.read("head.weight") for version in (versions[1], versions[4]))
    assert np.array_equal(ordinals.subtract(after, before, "F32").ravel()[:2], [9, 0]), "no sparse diff follows it"


def test_weights_off_the_grid_that_they_leave_are_refused(tmp_path: Path) -> None:
    version = write_version(tmp_path / "0")
    damaged = [version.snapshot.read(spec.name) / np.float32(3) for spec in version.table]
    write_snapshot(tmp_path / "damaged", version.table, damaged)
    diff = outgrowing_diff(version.table, "conv.weight", "head.weight")
    with pytest.raises(RangeError, match=r"^conv\.weight: weights off their grid"):
        apply(Snapshot(tmp_path / "damaged"), [diff], tmp_path / "1")


def test_only_a_diff_that_says_so_makes_infinities(tmp_path: Path) -> None:
    mask = np.zeros(3, np.float32)
    table, arrays = enter_grid({"mask": mask}, off_grid=["mask"])
    write_snapshot(tmp_path / "0", table, arrays.values())
    wanted = np.array([0, -np.inf, np.nan], np.float32)
    diff = Diff("exact", (Exact(np.array([1, 2]), ordinals.subtract(wanted, mask, "F32")[1:]),))
    with pytest.raises(RangeError, match="not finite"):
        apply(Snapshot(tmp_path / "0"), [diff], tmp_path / "refused")
    apply(Snapshot(tmp_path / "0"), [replace(diff, nonfinite=True)], tmp_path / "1")
    assert Snapshot(tmp_path / "1").read("mask").tobytes() == wanted.tobytes()


def test_exact_changes_every_dtype_to_the_bit(tmp_path: Path) -> None:
    version = mixed_version(tmp_path / "0", dtypes=[dtype for dtype in ALL if dtype != "BOOL"])
    diff = diff_of(version.table, "exact", ALL)
    assert apply(version.snapshot, [diff], tmp_path / "1") == Snapshot(tmp_path / "1").digest()
    check_by_hand(version, diff, Snapshot(tmp_path / "1"))


def test_a_tensor_of_several_chunks_changes_in_all_of_them(tmp_path: Path) -> None:
    weights = np.random.default_rng(1).integers(-100, 100, LONG).astype(np.float32)
    table = (TensorSpec("long", (LONG,), "F32", 0),)
    write_snapshot(tmp_path / "0", table, [weights])
    places = np.array([0, CHUNK - 1, CHUNK, LONG - 1])
    chain = [
        Diff("sparse", (Sparse(places, np.array([1, 2, 3, 4], np.int32), 5),)),
        Diff("hashed", (Hashed(np.arange(1, 50, dtype=np.int32), 3),), seed=4),
        Diff("sparse", (Sparse(places[:1], np.array([1], np.int32), 5),), alpha=ONE // 2),
        Diff("exact", (Exact(places[2:], np.array([-7, 7])),)),
    ]
    first, second, third, fourth = (values_of(diff, table)["long"] for diff in chain)
    expected = np.rint((weights + first + second) / 2 + third) + fourth
    apply(Snapshot(tmp_path / "0"), chain, tmp_path / "1")
    assert np.array_equal(Snapshot(tmp_path / "1").read("long"), expected)


def test_a_chain_in_one_pass_gives_the_same_bytes_as_step_by_step(tmp_path: Path) -> None:
    version = write_version(tmp_path / "0")
    chain = [(sparse_diff, hashed_diff)[seed % 2](version.table, seed) for seed in range(5)]
    at_once = apply(version.snapshot, chain, tmp_path / "once")
    for seed, diff in enumerate(chain):
        stepwise = apply(Snapshot(tmp_path / str(seed)), [diff], tmp_path / str(seed + 1))
    assert stepwise == at_once
    assert (tmp_path / "once").read_bytes() == (tmp_path / "5").read_bytes()


def test_an_empty_chain_copies(tmp_path: Path) -> None:
    version = mixed_version(tmp_path / "0")
    assert apply(version.snapshot, [], tmp_path / "1") == version.digest
    assert (tmp_path / "1").read_bytes() == version.snapshot.path.read_bytes()


def lone(stream: Stream, kind: str = "sparse", **factors: int) -> Callable[[Table, str], Diff]:
    """A diff of one tensor by name."""

    def make(table: Table, name: str) -> Diff:
        streams = tuple(stream if spec.name == name else None for spec in table)
        return Diff(kind, streams, **factors)  # type: ignore[arg-type]

    return make


def push(value: int, exponent: int | None = None) -> Sparse:
    return Sparse(np.array([3]), np.array([1], np.int32), value, exponent)


REFUSED = {
    "beyond the grid": ("F32", lone(push(2 * LIMIT))),
    "scaled beyond the grid": ("F32", lone(push(1), alpha=FACTOR_LIMIT, beta=ONE)),
    "beyond a grid value": ("F32", lone(push(1 << 31))),
    "beyond int8": ("I8", lone(push(128))),
    "beyond half": ("F16", lone(push(LIMIT, 0))),
    "beyond bfloat16": ("BF16", lone(push(LIMIT, -100), beta=FACTOR_LIMIT)),
    "exact beyond the grid": ("F32", lone(Exact(np.array([3]), np.array([2 * LIMIT])), "exact")),
    "exact beyond truth values": ("BOOL", lone(Exact(np.array([3]), np.array([2])), "exact")),
    "sparse off the grid": ("F32 off the grid", lone(push(1))),
    "hashed integers": ("I32", lone(Hashed(np.array([1], np.int32), 1), "hashed")),
}


@pytest.mark.parametrize(("tensor", "make"), REFUSED.values(), ids=REFUSED.keys())
def test_a_diff_that_drives_a_weight_out_of_its_range_is_refused_by_the_tensors_name(
    tmp_path: Path, tensor: str, make: Callable[[Table, str], Diff]
) -> None:
    version = mixed_version(tmp_path / "0")
    before = set(threading.enumerate())
    with pytest.raises(RangeError, match=f"^{tensor}: "):
        apply(version.snapshot, [make(version.table, tensor)], tmp_path / "1")
    assert set(threading.enumerate()) <= before


class Broken(Diff):
    """A diff that turns out to be wrong after its last piece, or before, as a payload does."""

    after = 0
    error: BaseException = PayloadError("broken")

    def pieces(self, table: Table) -> Iterator[Piece | None]:
        """Yield some pieces, then raise."""
        for number, piece in enumerate(super().pieces(table)):
            if number == self.after:
                raise self.error
            yield piece
        raise self.error


@pytest.mark.parametrize("error", [PayloadError("broken"), KeyboardInterrupt()])
@pytest.mark.parametrize("after", [0, 2, len(SHAPES)])
def test_an_error_anywhere_in_the_chain_ends_it(tmp_path: Path, after: int, error: BaseException) -> None:
    version = write_version(tmp_path / "0")
    broken = Broken("sparse", (None,) * len(SHAPES))
    object.__setattr__(broken, "after", after)
    object.__setattr__(broken, "error", error)
    before = set(threading.enumerate())
    with pytest.raises(type(error)):
        apply(version.snapshot, [sparse_diff(version.table), broken], tmp_path / "1")
    assert set(threading.enumerate()) <= before


def test_what_exists_already_is_not_overwritten(tmp_path: Path) -> None:
    version = write_version(tmp_path / "0")
    with pytest.raises(FileExistsError):
        apply(version.snapshot, [], version.snapshot.path)
    assert version.snapshot.digest() == version.digest


def test_a_parent_that_became_shorter_is_a_snapshot_error(tmp_path: Path) -> None:
    version = write_version(tmp_path / "0")
    with version.snapshot.path.open("rb+") as file:
        file.truncate(version.snapshot.path.stat().st_size - 1)
    with pytest.raises(SnapshotError, match="shorter"):
        apply(version.snapshot, [], tmp_path / "1")


@pytest.mark.parametrize("chain", [[sparse_diff], [hashed_diff], [sparse_diff] * 3])
def test_memory_is_bounded_by_chunks(tmp_path: Path, chain: list[Callable[..., Diff]]) -> None:
    version = write_version(tmp_path / "0", shapes={"large": (12, CHUNK)})
    diffs = [make(version.table, density) for make, density in zip(chain, range(9), strict=False)]
    tracemalloc.start()
    try:
        apply(version.snapshot, diffs, tmp_path / "1")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * 4 * CHUNK < version.table[0].nbytes
