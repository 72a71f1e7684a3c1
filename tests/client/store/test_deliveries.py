"""When a version that was fetched whole as a fallback may be fetched so again."""

from __future__ import annotations

import math

import pytest

from diffclient.store.deliveries import DAY, VERSIONS_LIMIT, Delivery, counted, find

A, B = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("times", "most", "seconds"),
    [(1, 5, DAY), (2, 5, 2 * DAY), (4, 5, 8 * DAY), (5, 5, math.inf), (1, 1, math.inf), (9, 0, 0)],
)
def test_each_time_doubles_the_wait_and_the_last_ends_it(times: int, most: int, seconds: float) -> None:
    assert Delivery(A, times, 1000).waits(1000, most) == seconds


@pytest.mark.parametrize("now", [DAY + 1000, 2 * DAY, 0], ids=["after a day", "later", "a clock that was set back"])
def test_it_is_offered_again(now: int) -> None:
    at = 1000 if now else DAY
    assert Delivery(A, 1, at).waits(now, 5) == 0


def test_versions_are_counted_apart_and_few_are_remembered() -> None:
    deliveries = counted(counted(counted((), A, 1), B, 2), A, 3)
    assert (find(deliveries, A), find(deliveries, B)) == (Delivery(A, 2, 3), Delivery(B, 1, 2))
    assert find(deliveries, None) is None
    for number in range(VERSIONS_LIMIT):
        deliveries = counted(deliveries, f"{number:064x}", 4)
    assert len(deliveries) == VERSIONS_LIMIT
    assert find(deliveries, A) is None
