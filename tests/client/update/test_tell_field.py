"""Errors counted in the field reach the server: one report for each version and measure, whatever comes between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from diffclient.network.report import Report
from diffclient.store import field_counts
from diffclient.store.field_counts import record
from diffclient.store.state import OUTBOX_LIMIT
from diffclient.update import tell_field
from tests.client import scripted_server
from tests.client.conftest import Device
from tests.client.lineage import Lineage

KEYS = ("to_digest", "measure", "errors", "total", "error_rate_ppm")


@pytest.fixture
def running(device: Device, lineage: Lineage) -> Device:
    """A device that runs version 0, on which some errors were counted."""
    device.update()
    device.server.reports.clear()
    record(device.store.root, lineage.digest(0), 3, 50)
    record(device.store.root, lineage.digest(0), 1, 4, "corrections")
    return device


def field_reports(device: Device) -> list[dict[str, Any]]:
    return [report for report in device.server.reports if report["stage"] == "field"]


def test_a_poll_that_is_answered_brings_a_report_of_each(running: Device, lineage: Lineage) -> None:
    running.update()
    assert [tuple(report[key] for key in KEYS) for report in running.server.reports] == [
        (lineage.digest(0), None, 3, 50, 60_000),
        (lineage.digest(0), "corrections", 1, 4, 250_000),
    ]
    running.update()
    assert len(running.server.reports) == 2
    assert running.store.state().outbox == ()


def test_what_is_counted_soon_after_gathers(running: Device, lineage: Lineage) -> None:
    running.update()
    record(running.store.root, lineage.digest(0), 9, 9)
    running.update()
    assert len(field_reports(running)) == 2
    state = running.store.state()
    assert state.field_at is not None
    with running.store.locked():
        running.store.save(replace(state, field_at=state.field_at - int(tell_field.SPACING)))
    running.update()
    assert [report["errors"] for report in field_reports(running)] == [3, 1, 9]


def test_a_server_that_is_away_gets_them_later(running: Device) -> None:
    running.server.fault("/device/reports", scripted_server.refuse(503, "0"))
    running.update()
    ids = [report.report_id for report in running.store.state().outbox]
    assert len(ids) == 2
    running.server.heal()
    running.server.reports.clear()
    running.update()
    assert [report["report_id"] for report in running.server.reports] == ids


def test_a_report_that_is_kept_is_not_made_again(running: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a power cut between keeping the reports and forgetting the counts."""
    monkeypatch.setattr(field_counts, "told", lambda _folder: None)
    monkeypatch.setattr(tell_field, "SPACING", 0.0)
    for _ in range(2):
        running.update()
    seen = [report["report_id"] for report in field_reports(running)]
    assert len(set(seen)) == 2


def test_an_outbox_that_overflows_drops_no_counts(running: Device) -> None:
    running.server.fault("/device/reports", scripted_server.refuse(503, "0"))
    running.update()
    state = running.store.state()
    for _ in range(2 * OUTBOX_LIMIT):
        state = state.with_report(Report.new("failed", None, None))
    assert len(state.outbox) == OUTBOX_LIMIT
    assert [report.errors for report in state.outbox if report.stage == "field"] == [3, 1]


def test_a_disk_that_refuses_delays_no_update(running: Device) -> None:
    (running.store.root / "field" / "taken.json").mkdir()
    running.server.target = 1
    assert running.update().action == "installed"
    assert field_reports(running) == []
