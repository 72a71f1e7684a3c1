"""The report's arithmetic, on the answers of an imagined chain."""

from __future__ import annotations

import pytest

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
