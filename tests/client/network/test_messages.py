"""What travels: honest answers read, everything else refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclient.errors import AnswerError, FormatError, ServerRefused
from diffclient.network.messages import POLL_LONGEST, read_answer, read_enrolment, read_problem
from tests.client.lineage import Lineage

ENROLLED = {"device_id": "7", "token": "t", "model": "m", "channel": "stable"}


def data(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(("held", "target", "count"), [(None, 2, 1), (0, 3, 3), (2, 3, 1), (3, 3, 0)])
def test_an_honest_answer(lineage: Lineage, held: int | None, target: int, count: int) -> None:
    digest = None if held is None else lineage.digest(held)
    answer = read_answer(data(lineage.answer(digest, target)))
    assert (answer.version, answer.digest, answer.poll_seconds) == (target, lineage.digest(target), 60)
    assert len(answer.steps) == count
    assert not answer.withheld


def test_fields_of_a_later_server_are_passed_over(lineage: Lineage) -> None:
    answer = lineage.answer(None, 1)
    assert read_answer(data(answer | {"advice": {"battery": "low"}})) == read_answer(data(answer))


@pytest.mark.parametrize(
    "fields",
    [
        {"action": 1},
        {"action": None},
        {"version": "1"},
        {"version": -1},
        {"version": True},
        {"version": 2**53},
        {"digest": "A" * 64},
        {"digest": 5},
        {"steps": None},
        {"steps": {}},
        {"steps": [None]},
        {"steps": [{"model": "commands"}]},
        {"steps": [""]},
        {"steps": ["../../etc/passwd"]},
        {"steps": ["commands/v0/1.snapshot\n"]},
        {"notice": 3},
        {"poll_seconds": None},
        {"poll_seconds": "60"},
        {"poll_seconds": 1.5},
        {"poll_seconds": True},
    ],
    ids=str,
)
def test_ill_typed(lineage: Lineage, fields: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        read_answer(data(lineage.answer(None, 1) | fields))


def test_a_snapshot_that_is_withheld(lineage: Lineage) -> None:
    quiet = lineage.answer(None, 1) | {"action": "none", "steps": []}
    assert read_answer(data(quiet | {"notice": "snapshot"})).withheld
    for other in (None, "maintenance at noon"):
        assert not read_answer(data(quiet | {"notice": other})).withheld


@pytest.mark.parametrize("missing", ["action", "digest", "steps", "poll_seconds"])
def test_missing(lineage: Lineage, missing: str) -> None:
    answer = lineage.answer(None, 1)
    del answer[missing]
    with pytest.raises(AnswerError, match=missing):
        read_answer(data(answer))


@pytest.mark.parametrize(("said", "heard"), [(0, 1), (1, 1), (900, 900), (10**12, POLL_LONGEST)])
def test_poll_seconds_are_kept_sensible(lineage: Lineage, said: int, heard: int) -> None:
    assert read_answer(data(lineage.answer(None, 0) | {"poll_seconds": said})).poll_seconds == heard


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    with pytest.raises(FormatError):
        read_answer(noise)


TEXT = st.text("ab0/\x00é\ud800", max_size=9)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.sampled_from(["none", "update", "a" * 64]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
)


@given(st.dictionaries(st.sampled_from(["action", "version", "digest", "steps", "poll_seconds"]), JSON))
def test_any_json_is_read_or_refused(value: dict[str, Any]) -> None:
    try:
        answer = read_answer(json.dumps(value).encode())
    except FormatError:
        return
    assert answer.steps == ()  # no target's name comes about by chance


def test_an_enrolment() -> None:
    found = read_enrolment(data(ENROLLED), "https://s", "kitchen")
    assert (found.server, found.name, found.token, found.device_id) == ("https://s", "kitchen", "t", "7")


@pytest.mark.parametrize("field", ENROLLED)
@pytest.mark.parametrize("value", [None, "", 3, "a\nb\x00", "x" * 5000, "\ud800"])
def test_a_hostile_enrolment(field: str, value: object) -> None:
    with pytest.raises(AnswerError, match=field):
        read_enrolment(data(ENROLLED | {field: value}), "https://s", "kitchen")


def test_a_problem_carries_title_detail_and_remedy() -> None:
    body = {"title": "token unknown", "detail": "it was revoked", "remedy": "enrol again", "status": 401}
    problem = read_problem(401, "Unauthorized", data(body))
    assert (problem.status, problem.title, problem.detail, problem.remedy) == (
        401, "token unknown", "it was revoked", "enrol again",
    )  # fmt: skip
    assert str(problem) == "401 token unknown: it was revoked: enrol again"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"title": 3}', b'{"title": "\\u0000"}', b"[" * 100_000])
def test_a_problem_that_is_none_says_what_its_status_does(body: bytes) -> None:
    assert str(read_problem(502, "Bad Gateway", body)) == "502 Bad Gateway"
    assert isinstance(read_problem(502, "Bad Gateway", body), ServerRefused)
