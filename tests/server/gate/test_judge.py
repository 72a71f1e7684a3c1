"""Verdicts on a stage, and what they allow."""

from __future__ import annotations

import math
from typing import Any

import pytest

from diffserver.errors import Invalid
from diffserver.gate.difference import Difference
from diffserver.gate.judge import Reports, Terms, Verdict, goes_on, judge

TERMS, STAGES = Terms(), 3


def reports(value: float, error: float = 0.1, moved: int = 200, **others: Any) -> Reports:
    fields: dict[str, Any] = {"tried": 1000, "failed": 3, "fleet": Difference(value, error, 500.0, moved, 1800)}
    return Reports(**fields | others)


TOO_FEW = "9 devices with the version have reported, and 10 must"


@pytest.mark.parametrize(
    ("known", "finding", "reason"),
    [
        (reports(0.0), "pass", "worse by less than 0.5 points"),
        (reports(-2.0), "pass", "worse by less than 0.5 points"),
        (reports(0.0, error=0.3), "no evidence of harm", "times as many reports would let it pass"),
        (reports(0.7, error=0.3), "no evidence of harm", "a person has to"),
        (reports(1.0, error=0.2), "harm", "worse by 0.1"),
        (reports(9.0, moved=9), "inconclusive", TOO_FEW),
        (reports(0.0, failed=60), "harm", "60 of 1000 devices failed with it"),
        (reports(0.0, failed=25), "pass", "worse by less than"),
        (reports(0.0, groups={"cpu=a53": Difference(5.0, 0.6, 40.0, 40, 180)}), "harm", "cpu=a53: worse by"),
        (reports(0.0, groups={"cpu=a53": Difference(5.0, 0.6, 8.0, 9, 180)}), "pass", "worse by less than"),
    ],
)  # fmt: skip
def test_the_verdict_names_its_reason(known: Reports, finding: str, reason: str) -> None:
    verdict = judge(known, TERMS, STAGES)
    assert (verdict.finding, reason in verdict.reason) == (finding, True), verdict


def test_the_interval_holds_the_estimate() -> None:
    verdict = judge(reports(0.3, error=0.2), TERMS, STAGES)
    assert verdict.low < 0.3 < verdict.high


@pytest.mark.parametrize(
    ("finding", "reach", "allowed"),
    [
        ("pass", 1.0, True),
        ("no evidence of harm", 0.1, True),
        ("no evidence of harm", 0.11, False),
        ("inconclusive", 0.01, False),
        ("harm", 0.01, False),
    ],
)
def test_how_far_a_verdict_carries(finding: Any, reach: float, allowed: bool) -> None:
    assert goes_on(Verdict(finding, ""), reach, TERMS) is allowed


@pytest.mark.parametrize(
    "terms", [{"margin": 0.0}, {"least": 1}, {"most_failures": 0.0}, {"false_abort": 0.5}, {"false_pass": math.nan}]
)
def test_terms_that_no_gate_can_keep_are_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        Terms(**terms)
