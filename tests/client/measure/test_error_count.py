"""Errors add up, and their rate is a whole number within what travels."""

from __future__ import annotations

from diffclient.measure.error_count import COUNT_LIMIT, Errors


def test_errors_add_up() -> None:
    total = Errors(1, 3) + Errors(0, 4)
    assert total == Errors(1, 7)
    assert total.error_rate_ppm == 142_857


def test_a_rate_is_never_more_than_a_report_carries() -> None:
    assert Errors(0, 0).error_rate_ppm == 0
    assert Errors(5000, 1).error_rate_ppm == COUNT_LIMIT
