"""Merging: one diff that makes the same bits as the chain, in any grouping, and nothing that is not a sum."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclient.diff.apply import apply
from diffclient.diff.merge import merge
from diffclient.diff.streams import Diff, Exact, Hashed, Sparse, Stream
from diffclient.errors import MergeError
from diffclient.tensors.arithmetic import LIMIT, ONE
from diffclient.tensors.snapshot import Snapshot, TensorSpec, write_snapshot
from tests.factories import sparse_diff, write_version

TABLE = (
    TensorSpec("a", (7, 5), "F32", 20),
    TensorSpec("b", (), "F32", -3),
    TensorSpec("c", (0, 4), "F32", 0),
    TensorSpec("d", (11,), "I8", None),
    TensorSpec("e", (3,), "F16", None),
)
SUMMED = 4
"""Tensors of the table, from its start, whose diffs add up."""

Totals = list[npt.NDArray[np.int64]]


def sums(diffs: list[Diff]) -> Totals:
    """What the diffs add to every weight, in plain integers."""
    totals = [np.zeros(spec.size, np.int64) for spec in TABLE]
    for diff in diffs:
        for total, stream in zip(totals, diff.streams, strict=True):
            if isinstance(stream, Sparse):
                total[stream.positions] += stream.levels.astype(np.int64) * stream.step
    return totals


@st.composite
def streams(draw: st.DrawFn, size: int) -> Sparse | None:
    drawn = draw(st.dictionaries(st.integers(0, size - 1), st.integers(-300, 300).filter(bool))) if size else {}
    places = sorted(drawn)
    levels = np.array([drawn[place] for place in places], np.int32)
    stream = Sparse(np.array(places, np.int64), levels, draw(st.sampled_from([1, 3, 4, 640, 5 << 10])))
    return draw(st.sampled_from([stream, None]))


DIFFS = st.builds(lambda *parts: Diff("sparse", (*parts, None)), *(streams(spec.size) for spec in TABLE[:SUMMED]))
CHAINS = st.lists(DIFFS, max_size=5)


def negated(diff: Diff) -> Diff:
    def turned(stream: Stream | None) -> Sparse | None:
        return replace(stream, levels=-stream.levels) if isinstance(stream, Sparse) else None

    return replace(diff, streams=tuple(map(turned, diff.streams)))


def same(left: Totals, right: Totals) -> bool:
    return all(map(np.array_equal, left, right))


@given(CHAINS)
def test_a_merged_diff_is_the_sum_of_its_chain(chain: list[Diff]) -> None:
    merged = merge(chain, TABLE)
    assert (merged.kind, merged.alpha, merged.beta, merged.seed) == ("sparse", ONE, ONE, 0)
    assert same(sums([merged]), sums(chain))


@given(CHAINS)
def test_nothing_is_said_twice_or_for_nothing(chain: list[Diff]) -> None:
    for stream, total in zip(merge(chain, TABLE).streams, sums(chain), strict=True):
        assert (stream is None) == (not total.any())
        if stream is not None:
            assert isinstance(stream, Sparse)
            assert stream.levels.dtype == np.int32
            assert np.array_equal(stream.positions, np.flatnonzero(total))
            assert stream.step == np.gcd.reduce(total)


@given(CHAINS, st.data())
def test_any_grouping_gives_the_very_same_diff(chain: list[Diff], data: st.DataObject) -> None:
    whole = merge(chain, TABLE)
    cut = data.draw(st.integers(0, len(chain)))
    halves = merge([merge(chain[:cut], TABLE), merge(chain[cut:], TABLE)], TABLE)
    one_by_one = reduce(lambda before, diff: merge([before, diff], TABLE), chain, merge([], TABLE))
    for other in (halves, one_by_one):
        for mine, its in zip(whole.streams, other.streams, strict=True):
            assert (mine is None) == (its is None)
            if isinstance(mine, Sparse) and isinstance(its, Sparse):
                assert mine.step == its.step
                assert np.array_equal(mine.positions, its.positions)
                assert np.array_equal(mine.levels, its.levels)


@given(CHAINS)
def test_what_is_taken_back_leaves_nothing(chain: list[Diff]) -> None:
    back = [negated(diff) for diff in reversed(chain)]
    assert merge([*chain, *back], TABLE).carried == 0


def test_a_merged_diff_makes_the_same_version_as_its_chain_and_back(tmp_path: Path) -> None:
    version = write_version(tmp_path / "0")
    chain = [sparse_diff(version.table, seed, density=0.2) for seed in range(1, 5)]
    merged = merge(chain, version.table)
    assert apply(version.snapshot, chain, tmp_path / "4") == apply(version.snapshot, [merged], tmp_path / "merged")
    assert apply(Snapshot(tmp_path / "4"), [negated(merged)], tmp_path / "back") == version.digest


def test_int8_weights_are_their_own_grid(tmp_path: Path) -> None:
    table = (TensorSpec("q", (200,), "I8", None),)
    rng = np.random.default_rng(1)
    before = write_snapshot(tmp_path / "0", table, [rng.integers(-50, 50, 200).astype(np.int8)])

    def step() -> Diff:
        positions = np.sort(rng.choice(200, 30, replace=False))
        return Diff("sparse", (Sparse(positions, rng.choice([-3, -1, 2], 30).astype(np.int32), 4),))

    chain = [step() for _ in range(3)]
    after = apply(Snapshot(tmp_path / "0"), chain, tmp_path / "3")
    assert after != before
    assert apply(Snapshot(tmp_path / "0"), [merge(chain, table)], tmp_path / "merged") == after


def test_values_as_wide_as_the_grid_keep_a_step_that_a_payload_takes() -> None:
    table = (TensorSpec("w", (4,), "F32", 0),)

    def swing(value: int, places: list[int]) -> Diff:
        return Diff("sparse", (Sparse(np.array(places), np.full(len(places), value, np.int32), 1),))

    for magnitude in (2 * LIMIT, 2 * LIMIT - 1):
        (stream,) = merge([swing(magnitude, [0, 2]), swing(-magnitude, [1, 3])], table).streams
        assert isinstance(stream, Sparse)
        assert stream.step <= LIMIT
        assert (stream.levels * stream.step).tolist() == [magnitude, -magnitude, magnitude, -magnitude]
    with pytest.raises(MergeError, match="more than a grid is wide"):
        merge([swing(LIMIT, [0])] * 3, table)


def only(index: int, stream: Stream, **changes: object) -> Diff:
    """A diff that touches one tensor of the table."""
    streams = tuple(stream if place == index else None for place in range(len(TABLE)))
    return replace(Diff("sparse", streams), **changes)  # type: ignore[arg-type]


ONES = np.ones(2, np.int32)
SOUND = Sparse(np.array([0, 2]), ONES, 1)


@pytest.mark.parametrize(
    ("diff", "reason"),
    [
        pytest.param(only(0, Hashed(ONES, 1), kind="hashed"), "hashed diff cannot be merged", id="hashed"),
        pytest.param(only(0, Exact(np.array([0, 2]), np.ones(2, np.int64)), kind="exact"), "exact diff", id="exact"),
        pytest.param(only(0, SOUND, alpha=ONE + 1), "scales", id="alpha"),
        pytest.param(only(0, SOUND, beta=ONE // 2), "scales", id="beta"),
        pytest.param(only(4, replace(SOUND, exponent=9)), "e is F16 off the grid", id="off the grid"),
        pytest.param(replace(only(0, SOUND), streams=(SOUND,)), "1 tensors does not fit a table of 5", id="tensors"),
        pytest.param(only(0, Hashed(ONES, 1)), "not a sparse stream", id="a stream of another kind"),
        pytest.param(only(0, replace(SOUND, exponent=3)), "not a sparse stream", id="an exponent on a grid"),
        pytest.param(only(0, replace(SOUND, step=0)), "not a sparse stream", id="no step"),
        pytest.param(only(0, replace(SOUND, step=LIMIT + 1)), "not a sparse stream", id="a step beyond the grid"),
        pytest.param(only(0, replace(SOUND, positions=np.array([2, 2]))), "increase", id="twice the same"),
        pytest.param(only(0, replace(SOUND, positions=np.array([2, 0]))), "increase", id="backwards"),
        pytest.param(only(0, replace(SOUND, positions=np.array([-1, 0]))), "increase", id="before the tensor"),
        pytest.param(only(0, replace(SOUND, positions=np.array([0, 35]))), "increase", id="behind the tensor"),
        pytest.param(only(2, SOUND), "increase", id="in an empty tensor"),
        pytest.param(only(0, replace(SOUND, positions=np.arange(3))), "a level for each", id="levels are missing"),
    ],
)
def test_what_is_no_plain_sum_is_refused(diff: Diff, reason: str) -> None:
    for chain in ([diff], [only(0, SOUND), diff]):
        with pytest.raises(MergeError, match=reason):
            merge(chain, TABLE)
