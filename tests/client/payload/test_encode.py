from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffclient.diff.streams import CHUNK, Diff, Exact, Hashed, Levels, Sparse, Stream, may_scale
from diffclient.errors import PayloadError
from diffclient.payload import frame
from diffclient.payload.decode import decode
from diffclient.payload.encode import encode, estimated_length, payload_length
from diffclient.payload.fit_codebooks import entropy
from diffclient.payload.own_alphas import UNIT, WHOLE
from diffclient.tensors.arithmetic import LIMIT, ONE
from diffclient.tensors.snapshot import DTYPES, Table, TensorSpec
from tests.factories import hashed_diff, sparse_stream

PARENT = "5a" * 32
TABLE: Table = (
    TensorSpec("conv", (8, 6, 5), "F32", 20),
    TensorSpec("half", (40, 3), "BF16", None),
    TensorSpec("head", (7,), "F32", 18),
    TensorSpec("int8", (50,), "I8", None),
    TensorSpec("steps", (3,), "I64", None),
    TensorSpec("temperature", (), "F32", 20),
)
TRAINABLE = [index for index, spec in enumerate(TABLE) if spec.name != "steps"]
LIMITS = TensorSpec("w", (1_000_000,), "F32", 20)


def same(first: Stream | None, second: Stream | None) -> bool:
    """Whether two streams are equal, field by field."""
    if first is None or second is None or type(first) is not type(second):
        return first is second
    return all(np.array_equal(value, getattr(second, name)) for name, value in vars(first).items())


def assert_comes_back(diff: Diff, table: Table = TABLE) -> bytes:
    data = encode(diff, table, PARENT)
    decoded = decode(data, table, PARENT)
    assert (decoded.kind, decoded.alpha, decoded.beta, decoded.seed) == (diff.kind, diff.alpha, diff.beta, diff.seed)
    assert all(map(same, decoded.streams, diff.streams))
    return data


@st.composite
def positions(draw: st.DrawFn, size: int) -> list[int]:
    """Some positions, or all of them."""
    return sorted(draw(st.one_of(st.sets(st.integers(0, size - 1)), st.just(set(range(size))))))


@st.composite
def sparse_streams(draw: st.DrawFn, spec: TensorSpec) -> Sparse | None:
    places = draw(positions(spec.size))
    step = draw(st.sampled_from([1, 5 << 10, LIMIT]))
    top = LIMIT // step if spec.dtype == "BF16" else 2 * LIMIT // step
    level = st.integers(-top, top).filter(bool)
    levels = draw(st.lists(level, min_size=len(places), max_size=len(places)))
    exponent = draw(st.integers(-100, 126)) if spec.dtype == "BF16" else None
    stream = Sparse(np.array(places, np.int64), np.array(levels, np.int32), step, exponent)
    return draw(st.sampled_from([stream, None]))


@st.composite
def exact_streams(draw: st.DrawFn, spec: TensorSpec) -> Exact:
    places = draw(positions(spec.size))
    top = 2 * LIMIT if spec.grid is not None else 1 << 8 * DTYPES[spec.dtype].itemsize - 1
    delta = st.integers(-top, top - 1).filter(bool)
    deltas = draw(st.lists(delta, min_size=len(places), max_size=len(places)))
    return Exact(np.array(places, np.int64), np.array(deltas, np.int64))


@st.composite
def scaled_streams(draw: st.DrawFn, spec: TensorSpec) -> Exact:
    alpha = UNIT * draw(st.integers(0, WHOLE)) if may_scale(spec) else ONE
    return replace(draw(exact_streams(spec)), alpha=alpha)


factors = st.integers(-16 * ONE, 16 * ONE)


@given(st.tuples(*(sparse_streams(TABLE[index]) for index in TRAINABLE)), factors, factors)
def test_sparse_diffs_come_back(streams: tuple[Sparse | None, ...], alpha: int, beta: int) -> None:
    assert_comes_back(Diff("sparse", (*streams[:-1], None, streams[-1]), alpha, beta))


@given(st.tuples(*map(exact_streams, TABLE)))
def test_exact_diffs_come_back(streams: tuple[Exact, ...]) -> None:
    assert_comes_back(Diff("exact", streams))


@given(st.tuples(*map(exact_streams, TABLE)), st.integers(-100, 20) | st.none(), st.booleans())
def test_new_grids_come_back(streams: tuple[Exact, ...], grid: int | None, nonfinite: bool) -> None:
    grids = {} if grid == 20 else {0: grid}
    data = assert_comes_back(Diff("exact", streams, grids=grids, nonfinite=nonfinite))
    assert data[4] == (frame.FREE if grids or nonfinite else frame.PLAIN)
    decoded = decode(data, TABLE, PARENT)
    assert (decoded.grids, decoded.nonfinite) == (grids, bool(grids) or nonfinite)


@given(st.tuples(*map(scaled_streams, TABLE)), st.integers(-100, 19) | st.none())
def test_scaled_tensors_come_back(streams: tuple[Exact, ...], grid: int | None) -> None:
    grids = {} if grid is None or streams[0].alpha == ONE else {0: grid}
    data = assert_comes_back(Diff("exact", streams, grids=grids))
    scaled = any(stream.alpha != ONE for stream in streams)
    assert data[4] == (frame.SCALED if scaled else frame.PLAIN)


@pytest.mark.parametrize(
    ("tensor", "alpha"), [(1, 0), (4, 8 * UNIT), (0, ONE + UNIT), (0, UNIT // 2), (3, -UNIT)], ids=str
)
def test_factors_that_no_payload_can_say_are_refused(tensor: int, alpha: int) -> None:
    streams = [replace(stream, alpha=alpha if at == tensor else ONE) for at, stream in enumerate(EVERY_STREAM)]
    with pytest.raises(PayloadError, match="alpha is a whole number of sixteenths"):
        encode(Diff("exact", tuple(streams)), TABLE, PARENT)


EVERY_STREAM = tuple(Exact(np.array([0]), np.array([1])) for _ in TABLE)
EVERY_TENSOR = Diff("exact", EVERY_STREAM)


@pytest.mark.parametrize(
    "flawed",
    [
        pytest.param(replace(EVERY_TENSOR, grids={0: 20}), id="the same grid"),
        pytest.param(replace(EVERY_TENSOR, grids={0: 21}), id="a finer grid"),
        pytest.param(replace(EVERY_TENSOR, grids={0: -101}), id="a grid that is none"),
        pytest.param(replace(EVERY_TENSOR, grids={1: None}), id="a tensor off the grid"),
        pytest.param(replace(EVERY_TENSOR, streams=(None,) * len(TABLE), grids={0: 3}), id="a tensor without a stream"),
        pytest.param(Diff("sparse", (None,) * len(TABLE), nonfinite=True), id="infinities in sparse"),
        pytest.param(replace(hashed_diff(TABLE), grids={0: 3}), id="a new grid in hashed"),
    ],
)
def test_new_grids_that_no_payload_can_say_are_refused(flawed: Diff) -> None:
    with pytest.raises(PayloadError, match="grid"):
        encode(flawed, TABLE, PARENT)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1))
def test_hashed_diffs_come_back(seed: int, share: float) -> None:
    assert_comes_back(hashed_diff(TABLE, seed, share))


@pytest.mark.parametrize("dtype", ["F64", "I64"])
def test_deltas_of_all_64_bits_come_back(dtype: str) -> None:
    limits = np.iinfo(np.int64)
    deltas = np.random.default_rng(0).integers(limits.min, limits.max, 5000, endpoint=True)
    table = (TensorSpec("w", (5000,), dtype, None),)
    assert_comes_back(Diff("exact", (Exact(np.arange(5000), deltas),)), table)


def test_a_tensor_of_several_chunks_comes_back() -> None:
    spec = TensorSpec("w", (CHUNK // 100 + 1, 50, 5), "F32", 20)
    rng = np.random.default_rng(0)
    chosen = np.flatnonzero(rng.random(spec.size) < np.linspace(0, 1, spec.size))
    levels = rng.choice([-3, -2, -1, 1, 2, 3], len(chosen)).astype(np.int32)
    assert_comes_back(Diff("sparse", (Sparse(chosen, levels, 3),)), (spec,))


def test_an_empty_diff_is_a_header_and_little_more() -> None:
    data = assert_comes_back(Diff("sparse", (None,) * len(TABLE)))
    assert len(data) < frame.HEADER.size + 20


def test_a_stream_that_changes_nothing_is_kept() -> None:
    empty = Sparse(np.empty(0, np.int64), np.empty(0, np.int32), 1)
    assert_comes_back(Diff("sparse", (empty, None, empty, None, None, empty), alpha=2 * ONE))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 300), min_size=300, max_size=300))
def test_any_number_of_different_tensors_share_the_codebooks_that_there_are(tops: list[int]) -> None:
    table = tuple(TensorSpec(f"{index:03}", (300,), "F32", 20) for index in range(len(tops)))
    places = np.arange(0, 300, 3)
    streams = tuple(Sparse(places, 1 + (places.astype(np.int32) % top), 1) for top in tops)
    assert_comes_back(Diff("sparse", streams), table)


def limit(n: int, levels: Levels) -> float:
    """The bits that uniform positions among n weights and values of this entropy take."""
    k = len(levels)
    places = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)
    return places + float(entropy(np.unique(levels, return_counts=True)[1]))


@pytest.mark.parametrize("density", [0.005, 0.01, 0.07, 0.3, 0.7])
def test_a_payload_is_within_one_per_cent_of_the_coding_limit(density: float) -> None:
    n = LIMITS.size
    stream = sparse_stream(np.random.default_rng(3), n, density)
    assert stream is not None
    data = encode(Diff("sparse", (stream,)), (LIMITS,), PARENT)
    assert len(data) * 8 <= 1.01 * limit(n, stream.levels) + 8 * 200


def test_changes_that_come_in_runs_cost_less_than_scattered_ones() -> None:
    rng = np.random.default_rng(5)
    kernels = np.sort(rng.choice(10_000, 500, replace=False))
    conv, flat = TensorSpec("w", (100, 100, 5), "F32", 20), TensorSpec("w", (50_000,), "F32", 20)
    chosen = (kernels[:, None] * 5 + np.arange(5)).reshape(-1)
    levels = np.repeat(rng.choice([-1, 1], 500), 5).astype(np.int32)
    stream = Diff("sparse", (Sparse(chosen, levels, 1),))
    assert len(encode(stream, (conv,), PARENT)) < 0.7 * len(encode(stream, (flat,), PARENT))


def test_rows_that_change_more_than_others_are_told_apart() -> None:
    rng = np.random.default_rng(6)
    spec = TensorSpec("w", (400, 300), "F32", 20)
    uneven = np.flatnonzero(rng.random((400, 300)) < np.where(rng.random(400) < 0.5, 0.01, 0.2)[:, None])
    levels = rng.choice([-1, 1], len(uneven)).astype(np.int32)
    assert_comes_back(diff := Diff("sparse", (Sparse(uneven, levels, 1),)), (spec,))
    flat = TensorSpec("w", (spec.size,), "F32", 20)
    classed, unclassed = (len(encode(diff, (table,), PARENT)) for table in (spec, flat))
    assert classed < unclassed < 0.95 * limit(spec.size, levels) / 8


def test_distinct_diffs_have_distinct_payloads() -> None:
    stream = Sparse(np.array([3]), np.array([1], np.int32), 1)
    variants = [
        Diff("sparse", (other, *(None,) * 5), alpha, beta)
        for other in (stream, None)
        for alpha, beta in ((ONE, ONE), (2 * ONE, ONE), (ONE, -ONE))
    ]
    for first, second in combinations((encode(diff, TABLE, PARENT) for diff in variants), 2):
        assert first != second


def sparse(places: list[int], levels: list[int], step: int = 1, exponent: int | None = None) -> Sparse:
    return Sparse(np.array(places), np.array(levels, np.int32), step, exponent)


def at(index: int, stream: Stream, **fields: object) -> Diff:
    """A diff with one stream."""
    kind = {Sparse: "sparse", Hashed: "hashed", Exact: "exact"}[type(stream)]
    streams = tuple(stream if number == index else None for number in range(len(TABLE)))
    return Diff(**({"kind": kind, "streams": streams} | fields))  # type: ignore[arg-type]


UNENCODABLE = {
    "position outside": at(0, sparse([240], [1])),
    "negative position": at(0, sparse([-1], [1])),
    "positions fall": at(0, sparse([5, 4], [1, 1])),
    "position twice": at(0, sparse([5, 5], [1, 1])),
    "zero level": at(0, sparse([5], [0])),
    "too few levels": at(0, sparse([5, 6], [1])),
    "step zero": at(0, sparse([5], [1], 0)),
    "step too large": at(0, sparse([5], [1], LIMIT + 1)),
    "value too large": at(0, sparse([5], [3], LIMIT)),
    "value too large for a half": at(1, sparse([5], [2], LIMIT, exponent=3)),
    "half without an exponent": at(1, sparse([5], [2])),
    "exponent out of range": at(1, sparse([5], [2], exponent=127)),
    "exponent on a grid": at(0, sparse([5], [2], exponent=3)),
    "tensor that only exact changes": at(4, sparse([1], [1])),
    "too few streams": Diff("sparse", (None,)),
    "stream of another kind": at(0, sparse([1], [1]), kind="hashed"),
    "no buckets": at(0, Hashed(np.empty(0, np.int32), 1)),
    "more buckets than weights": at(2, Hashed(np.ones(8, np.int32), 1)),
    "delta too large": at(3, Exact(np.array([0]), np.array([128]))),
}


@pytest.mark.parametrize("diff", UNENCODABLE.values(), ids=UNENCODABLE.keys())
def test_what_does_not_fit_the_format_is_not_encoded(diff: Diff) -> None:
    with pytest.raises(PayloadError):
        encode(diff, TABLE, PARENT)


@pytest.mark.parametrize("kind", ["sparse", "hashed"])
@pytest.mark.parametrize("spread", [1.0, 5.0])
def test_an_estimated_length_is_right_to_two_thousandths(kind: Literal["sparse", "hashed"], spread: float) -> None:
    rng = np.random.default_rng(5)
    table = tuple(TensorSpec(f"t{number}", (400, 100), "F32", 20) for number in range(6))
    levels = [np.rint(rng.laplace(0, spread, spec.size)).astype(np.int32) for spec in table]
    streams: list[Stream] = [Hashed(each[: len(each) // 8], 8) for each in levels]
    if kind == "sparse":
        chosen = [np.flatnonzero(each * (rng.random(len(each)) < 0.1)) for each in levels]
        streams = [Sparse(places, each[places], 8) for places, each in zip(chosen, levels, strict=True)]
    diff = Diff(kind, tuple(streams))
    assert estimated_length(diff, table) == pytest.approx(payload_length(diff, table), rel=2e-3, abs=2)
