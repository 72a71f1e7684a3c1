"""The verdict: counted from the results, and honest where they miss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from diffserver.demo import verdict
from diffserver.demo.report import Report
from tests.imagined import imagined_report

GOOD: dict[str, Any] = {"drift": -0.1, "payload_share": 0.0197, "forced": False, "digest_match": True}


def report(*rows: dict[str, Any]) -> Report:
    (row,) = imagined_report().updates[:1]
    return Report(10_000, "sparse", 0.02, [replace(row, version=n, **GOOD | own) for n, own in enumerate(rows, 1)])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{}, {}], "2 of 2 updates within 0.2 points of full retraining, at 1.97% of the model's bytes or less"),
        ([{"drift": 0.2}], "1 of 1 update within 0.2 points of full retraining, at 1.97% of the model's bytes or less"),
        (
            [{"drift": 0.21}, {"payload_share": 0.03}],
            "1 of 2 updates within 0.2 points of full retraining, at 3.00% of the model's bytes or less",
        ),
        ([], "No update was published"),
    ],
)
def test_the_headline_counts(rows: list[dict[str, Any]], said: str) -> None:
    assert verdict.headline(report(*rows)) == said


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"drift": 0.23}, "Version 1 is 0.23 points worse than the fully retrained model"),
        ({"drift": 0.23, "margin_full": 0.3, "margin_published": 0.4}, "(give or take 0.50)"),
        ({"digest_match": False}, "Version 1: a device did not arrive at the server's bits."),
        ({"payload_share": 0.03}, "Version 1 took more bytes than the budget of 2.0%."),
        ({"forced": True}, "Version 1 broke a bound and went out by force."),
        ({}, "Every device (2 of them) arrived at the server's bits in every update."),
    ],
)
def test_what_misses_is_said(own: dict[str, Any], said: str) -> None:
    remarks = verdict.remarks(report(own))
    assert any(said in remark for remark in remarks)
    assert ("arrived" in "".join(remarks)) == own.get("digest_match", True)


def test_what_travels_beside_the_payload_is_said() -> None:
    remarks = verdict.remarks(report({"payload_bytes": 100, "fetched_bytes": 131}, {}))
    assert remarks[-1].startswith("With the probe set and the metadata a device fetched at most ")


def test_nothing_is_said_of_nothing() -> None:
    assert verdict.remarks(report()) == []
