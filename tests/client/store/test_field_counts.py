"""Errors counted in the field: nothing is lost or doubled, whoever counts and whatever ends an update."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from diffclient.errors import StoreFailed
from diffclient.measure.error_count import COUNT_LIMIT
from diffclient.store import field_counts
from diffclient.store.field_counts import PAIRS_LIMIT, record, take, told

A, B = "a" * 64, "b" * 64


def summed(folder: Path) -> dict[tuple[str, str | None], tuple[int, int]]:
    return {(count.digest, count.measure): (count.errors, count.total) for count in take(folder)}


def test_counts_gather_by_version_and_measure(tmp_path: Path) -> None:
    record(tmp_path, A, 3, 50)
    record(tmp_path, B, 1, 10)
    record(tmp_path, A, 7, 5)  # more errors than words: words that no one said
    record(tmp_path, A, 2, 9, "corrections")
    assert summed(tmp_path) == {(A, None): (10, 55), (B, None): (1, 10), (A, "corrections"): (2, 9)}


def test_what_was_taken_is_the_same_until_it_is_told(tmp_path: Path) -> None:
    assert take(tmp_path) == ()
    record(tmp_path, A, 3, 50)
    first = take(tmp_path)
    record(tmp_path, A, 1, 1)
    assert take(tmp_path) == first
    told(tmp_path)
    (second,) = take(tmp_path)
    assert (second.errors, second.total) == (1, 1)
    assert second.report_id != first[0].report_id
    told(tmp_path)
    assert take(tmp_path) == ()


def test_many_count_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: record(tmp_path, A, 1, 2), range(80)))
    assert summed(tmp_path) == {(A, None): (80, 160)}


def test_an_update_does_not_wait_for_who_counts(tmp_path: Path) -> None:
    record(tmp_path, A, 1, 2)
    with field_counts._locked(tmp_path), pytest.raises(StoreFailed):
        take(tmp_path)
    assert summed(tmp_path) == {(A, None): (1, 2)}


def test_the_space_is_bounded(tmp_path: Path) -> None:
    for number in range(PAIRS_LIMIT + 3):
        record(tmp_path, A, 1, 2, f"measure {number}")
    assert [count.measure for count in take(tmp_path)] == [f"measure {number}" for number in range(3, PAIRS_LIMIT + 3)]


def test_sums_that_no_report_carries_begin_another(tmp_path: Path) -> None:
    record(tmp_path, A, 0, COUNT_LIMIT)
    record(tmp_path, A, 0, 1)
    assert [count.total for count in take(tmp_path)] == [COUNT_LIMIT, 1]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"counts": [{"digest": "x"}]}'])
def test_a_damaged_file_is_begun_afresh(tmp_path: Path, damage: bytes) -> None:
    record(tmp_path, A, 1, 2)
    (tmp_path / "field" / "counts.json").write_bytes(damage)
    record(tmp_path, B, 3, 4)
    assert summed(tmp_path) == {(B, None): (3, 4)}


@pytest.mark.parametrize(
    ("wrong", "pattern"),
    [
        ({"digest": "latest"}, "digest is 'latest'"),
        ({"errors": -1}, "errors is -1"),
        ({"errors": 1.5}, "errors is 1.5"),
        ({"total": 0}, "total is 0, and not a number from 1"),
        ({"total": COUNT_LIMIT + 1}, "total is"),
        ({"measure": ""}, "measure is ''"),
        ({"measure": "a\x1bb"}, "measure is"),
    ],
)
def test_what_is_no_count_is_refused(tmp_path: Path, wrong: dict[str, Any], pattern: str) -> None:
    sound: dict[str, Any] = {"digest": A, "errors": 1, "total": 2}
    with pytest.raises(ValueError, match=pattern):
        record(tmp_path, **sound | wrong)
    assert take(tmp_path) == ()
