"""Pages of a service that has something on each: every role sees them, all that is foreign is escaped."""

from __future__ import annotations

import pytest

from tests.server.conftest import Service
from tests.server.console.browsing import signed_in
from tests.server.console.filled import SCRIPT, fill

ROLES = ("viewer", "publisher", "admin")

PAGES = {
    "/console/models": "speech",
    "/console/models/speech": "Drift against the full chain",
    "/console/models/speech?before=3": "Error rate by test set",
    "/console/models/speech/versions/4": "What travels",
    "/console/models/speech/versions/4/devices": "the server counted 3.00 %",
    "/console/candidates": "Compare the chosen",
    "/console/candidates?model=speech": "Candidates of speech",
    "/console/candidates/beside?c=6&c=7": "over the budget",
    "/console/candidates/beside": "the list",
    "/console/candidates/7": "over the budget",
    "/console/trainings": "step 221 of 400",
    "/console/trainings?model=speech&after=3": "no train.jsonl",
    "/console/trainings/list": "running",
    "/console/trainings/1": "Loss by step",
    "/console/trainings/1/state": ">200</text>",
    "/console/trainings/2": "no train.jsonl",
    "/console/trainings/3": "It waits",
    "/console/audit": "token.create",
    "/console/audit?model=speech&act=training.submit": "training.submit",
    "/console/audit?after=2&since=2020-01-01T00:00": "device.enroll",
    "/console/keys": "timestamp",
}
"""What is on each page."""

EMPTY = {
    "/console/models": "diffserver base",
    "/console/candidates": "diffserver train",
    "/console/trainings": "diffserver base",
    "/console/audit?act=none.at_all": "Nothing was done",
    "/console/tokens": "anna",
}
"""What a page says where there is nothing yet: the command that changes it."""


@pytest.fixture
def filled(service: Service) -> Service:
    fill(service)
    return service


def test_every_page_shows_every_role_what_it_is_for_and_no_script(filled: Service) -> None:
    for role in ROLES:
        browser = signed_in(filled, role)
        for path, expected in PAGES.items():
            answer = browser.get(path)
            assert answer.status_code == 200, (path, answer.text)
            assert expected in answer.text, path
            assert SCRIPT not in answer.text, path
            assert " style=" not in answer.text, path


@pytest.mark.parametrize("path", EMPTY)
def test_a_page_without_anything_says_what_to_do(service: Service, path: str) -> None:
    answer = signed_in(service, "admin").get(path)
    assert answer.status_code == 200, answer.text
    assert EMPTY[path] in answer.text


@pytest.mark.parametrize(
    "path",
    ["/console/models/none", "/console/models/speech/versions/99", "/console/candidates/99", "/console/trainings/99"],
)
def test_what_is_not_there_is_said_with_a_remedy(filled: Service, path: str) -> None:
    answer = signed_in(filled, "viewer").get(path)
    assert answer.status_code == 404
    assert "What to do:" in answer.text
