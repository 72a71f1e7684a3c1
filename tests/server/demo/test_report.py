"""The report's arithmetic, on the answers of an imagined chain."""

from __future__ import annotations

import pytest

from diffclient.measure.error_count import Errors
from diffserver.demo import report
from tests.imagined import imagined_report


def test_a_row_holds_means_drift_regression_and_recovery() -> None:
    row = imagined_report().updates[0]
    assert (row.wer_parent, row.wer_full, row.wer_published) == (43.0, 8.5, 12.0)
    assert (row.wer_parent_new, row.wer_full_new, row.wer_published_new) == (80.0, 10.0, 16.0)
    assert row.drift == 3.5
    assert row.regression == 2.0
    assert row.recovered == pytest.approx(64 / 70)
    assert (row.probe_errors_server, row.probe_errors_device, row.probe_errors_devices) == (7, 8, [7, 8])
    assert row.wer_device == 9.375


def test_a_margin_is_a_binomial_interval_of_the_mean() -> None:
    """Agresti and Coull by hand: (10 + 2) of (100 + 4), and half of its variance's root for two such test sets."""
    one = report.margin({"base": Errors(10, 100)})
    assert one == pytest.approx(100 * 1.96 * (12 / 104 * 92 / 104 / 104) ** 0.5)
    assert report.margin({"base": Errors(10, 100), "new": Errors(10, 100)}) == pytest.approx(one / 2**0.5)
    assert report.margin({"base": Errors(0, 400)}) > 0


def test_drift_may_be_off_by_both_margins() -> None:
    row = imagined_report().updates[0]
    assert row.margin_full is not None
    assert row.margin_published is not None
    assert row.margin_drift == pytest.approx((row.margin_full**2 + row.margin_published**2) ** 0.5)
