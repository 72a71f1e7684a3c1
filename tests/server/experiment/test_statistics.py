"""Drift with its interval, and overlap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffserver.experiment import statistics


def errors_of(*counts: int, total: int = 4) -> statistics.Errors:
    return statistics.Errors(np.array(counts), np.full(len(counts), total))


def test_the_interval_holds_the_drift_and_narrows_with_more_utterances() -> None:
    rng = np.random.default_rng(5)
    widths = []
    for count in (50, 800):
        version, full = (errors_of(*rng.binomial(4, rate, count)) for rate in (0.2, 0.1))
        low, high = statistics.drift_interval({"a": version}, {"a": full})
        assert low < version.error_rate - full.error_rate < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


def test_the_interval_is_paired_and_seeded() -> None:
    rng = np.random.default_rng(1)
    shared = rng.binomial(4, 0.3, 200)
    version, full = {"a": errors_of(*(shared + 1))}, {"a": errors_of(*shared)}
    assert statistics.drift_interval(version, full) == (25.0, 25.0)  # one word of four more, in every utterance
    other = {"a": errors_of(*rng.binomial(4, 0.3, 200))}
    assert statistics.drift_interval(other, full, 3) == statistics.drift_interval(other, full, 3)
    assert statistics.drift_interval(other, full, 3) != statistics.drift_interval(other, full, 4)


def test_test_sets_weigh_the_same_in_the_interval() -> None:
    version = {"small": errors_of(*[1] * 10), "large": errors_of(*[0] * 1000)}
    full = {name: errors_of(*[0] * len(errors.total)) for name, errors in version.items()}
    assert statistics.drift_interval(version, full) == pytest.approx((12.5, 12.5))


def test_totals_add_up_examples() -> None:
    (total,) = statistics.totals({"a": errors_of(1, 0, 2)}).values()
    assert (total.errors, total.total, errors_of(1, 0, 2).error_rate) == (3, 12, 25.0)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_overlap_is_jaccards(pairs: list[tuple[bool, bool]]) -> None:
    mask, other_mask = (np.array(side) for side in zip(*pairs, strict=True))
    first, second = ({i for i, on in enumerate(side) if on} for side in (mask, other_mask))
    expected = len(first & second) / len(first | second) if first | second else 1.0
    assert statistics.overlap(mask, other_mask) == expected
