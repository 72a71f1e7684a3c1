"""A device's report: as it is sent, and read back from where it is kept."""

from __future__ import annotations

import json
import time

import pytest

from diffclient.bounds import allowed, read
from diffclient.errors import StateError
from diffclient.network.report import Report
from diffclient.strict_json import fields_of


@pytest.mark.parametrize(
    "report",
    [
        Report("installed", None, "a" * 64, None, None, None, 3, 50, 60_000, -100, 12345, 0.5, 1.5),
        Report("postponed", "a" * 64, None, "download", "it broke off", "network"),
        Report.new("failed", "a" * 64, None, failed_stage="probation", cause="version"),
        Report("rolled_back", "a" * 64, "b" * 64),
        Report("field", to_digest="a" * 64, errors=3, total=2, measure="corrections"),
    ],
    ids=lambda report: report.stage,
)
def test_a_report_comes_back(report: Report) -> None:
    copy = json.loads(json.dumps(report.to_json()))
    assert read(Report, fields_of(copy, "report", StateError)) == report


def test_each_report_has_an_id_of_its_own_and_the_devices_time() -> None:
    reports = [Report.new("rolled_back", None, None) for _ in range(2)]
    assert reports[0].report_id != reports[1].report_id
    before = time.time()
    made = Report.new("installed", None, "a" * 64).device_time
    assert made is not None
    assert int(before) <= made <= time.time()


def test_every_field_says_what_it_means_with_an_example_within_its_bounds() -> None:
    for name, may in allowed(Report).items():
        assert may.about, name
        assert may.about.text.endswith("."), name
        assert may.holds(may.about.example), name
