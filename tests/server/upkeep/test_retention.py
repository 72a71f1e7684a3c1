from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from diffserver.storage.object_store import Stored
from diffserver.upkeep.retention import (
    Aged,
    CandidateRow,
    ReportRow,
    older,
    stale_candidates,
    stale_objects,
    stale_reports,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
OLD, YOUNG = NOW - timedelta(days=10), NOW - timedelta(hours=1)
BEFORE = NOW - timedelta(days=5)


def reports(device: str, *moments: datetime) -> list[ReportRow]:
    """A device's reports, the newest first; their ids count down."""
    return [ReportRow(len(moments) - place, moment, 10, device) for place, moment in enumerate(moments)]


@pytest.mark.parametrize(
    ("moments", "each", "gone"),
    [
        ([], 5, []),
        ([OLD], 5, []),
        ([YOUNG, OLD], 5, [1]),
        ([OLD, OLD, OLD], 5, [2, 1]),
        ([YOUNG] * 4, 2, [2, 1]),
        ([YOUNG, YOUNG, OLD], 1, [2, 1]),
    ],
)
def test_reports_go_by_age_and_number_but_the_last(moments: list[datetime], each: int, gone: list[int]) -> None:
    assert [row.id for row in stale_reports(reports("d", *moments), BEFORE, each)] == gone


def test_reports_of_the_field_push_out_none_of_updates() -> None:
    field = [replace(row, field=True) for row in reports("d", YOUNG, YOUNG, YOUNG)]
    assert stale_reports([*reports("d", OLD), *field], BEFORE, 2) == [field[2]]


def test_each_device_is_judged_by_itself() -> None:
    rows = [*reports("a", OLD), *reports("b", YOUNG, OLD), *reports("c", OLD)]
    assert [(row.id, getattr(row, "device_id", "")) for row in stale_reports(rows, BEFORE, 5)] == [(1, "b")]


def test_what_is_older_goes() -> None:
    rows = [Aged(1, OLD), Aged(2, BEFORE), Aged(3, YOUNG)]
    assert older(rows, BEFORE) == rows[:1]


def test_objects_go_only_without_a_name_and_old() -> None:
    objects = [Stored(name, 5, moment, "") for name, moment in (("a", OLD), ("b", OLD), ("c", YOUNG))]
    assert [one.sha256 for one in stale_objects(objects, {"a"}, BEFORE)] == ["b"]


def test_fully_retrained_models_stay_as_long_as_a_training_may_go_on_from_them() -> None:
    seen = ("base", "one")
    rows = [
        CandidateRow(1, OLD, 0, "m", 2),
        CandidateRow(2, OLD, 0, "m", 1, True, ("base",)),
        CandidateRow(3, OLD, 0, "m", 2, True, seen),
        CandidateRow(4, OLD, 0, "m", 2, True, seen),
        CandidateRow(5, OLD, 0, "m", 3, True, (*seen, "two")),
        CandidateRow(6, OLD, 0, "other", 1, True, seen),
        CandidateRow(7, YOUNG, 0, "m", 2),
    ]
    # Version 2 of m is the latest, so the full chain goes on from candidate 4, and 5 may be next; of `other` none is.
    assert [row.id for row in stale_candidates(rows, {"m": 2}, BEFORE)] == [1, 2, 3]
