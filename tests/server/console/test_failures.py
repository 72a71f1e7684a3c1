"""What goes wrong on a page is told by a page: a bug, a database or a store that is away, to whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from obstore.exceptions import GenericError
from sqlalchemy.exc import OperationalError

from diffserver.console import render
from diffserver.console.guard import HEADERS, Caller
from diffserver.console.pages import trainings
from diffserver.storage.database import connect
from diffserver.storage.object_store import AT_ONCE, Objects
from tests.server import s3_server
from tests.server.conftest import Service
from tests.server.console.browsing import Browser, signed_in

SECRET = "postgresql://ds:hunter2@db/fleet"
"""What an error may say, and a page may not."""

ERRORS = {
    "a bug": (RuntimeError(SECRET), 500),
    "the database": (OperationalError("SELECT 1", {}, Exception(SECRET)), 503),
    "the store": (GenericError(SECRET), 503),
}


def told(service: Service, answer: Any, status: int) -> None:
    """Check the page of an error: whole, guarded, with where to look, and with nothing of what happened."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert ("retry-after" in answer.headers) == (status == 503)
    assert "What to do:" in answer.text
    assert "server&#39;s log" in answer.text
    assert answer.headers["x-request-id"] in answer.text
    assert '<link rel="stylesheet" href="/console/assets/console.css' in answer.text
    assert SECRET not in answer.text
    failed = [line for line in service.logged() if line["event"] == "failed"]
    assert failed[-1]["request_id"] == answer.headers["x-request-id"]


@pytest.fixture
def away(service: Service) -> Callable[[], None]:
    """Take the database away."""

    def take() -> None:
        service.app.state.engine = connect(f"sqlite:///{service.settings.home}/no/such/folder/x.db")

    return take


@pytest.fixture
def no_store(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that nobody listens for."""
    for name, value in s3_server.environment("http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    service.app.state.objects = Objects("s3://bucket", AT_ONCE)


@pytest.mark.parametrize("what", ERRORS)
@pytest.mark.parametrize("path", ["/", "/console/overview/fleet", "/console/keys"])
def test_an_error_in_a_page_is_a_page(service: Service, path: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, (error, status) = signed_in(service, "viewer"), ERRORS[what]

    async def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Caller, "get", fails)
    told(service, browser.get(path), status)


@pytest.mark.parametrize("path", ["/", "/console/trainings/list"])
def test_a_database_that_is_away_is_told_by_a_page(service: Service, away: Callable[[], None], path: str) -> None:
    browser = signed_in(service, "viewer")
    away()
    answer = browser.get(path)
    told(service, answer, 503)
    assert "the database or the object store does not answer" in answer.text


def test_a_database_that_goes_away_behind_the_api_is_told_by_a_page(
    service: Service, away: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, find = signed_in(service, "viewer"), Caller.get

    async def too_late(self: Caller, path: str, **params: Any) -> Any:
        away()
        return await find(self, path, **params)

    monkeypatch.setattr(Caller, "get", too_late)
    told(service, browser.get("/console/models"), 503)


def test_a_form_keeps_what_was_typed_while_the_store_is_away(
    service: Service, no_store: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = trainings._request
    monkeypatch.setattr(trainings, "_request", lambda given: asked(given) | {"checkpoint": "0" * 64})
    typed = {"kind": "update", "model": "speech", "domain": "foods"}
    answer = signed_in(service, "publisher").post("/console/trainings/new", None, **typed)
    assert "the database or the object store does not answer" in answer.text
    assert 'value="foods"' in answer.text
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)


def test_who_is_signed_out_is_told_as_well(
    service: Service, away: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, token = Browser(service), service.token("viewer", "walter")
    away()
    assert browser.get("/").headers["location"] == "/console/sign-in?next=/"
    assert browser.get("/console/sign-in").status_code == 200
    answer = browser.sign_in(token)
    told(service, answer, 503)
    assert "<nav" not in answer.text
    shown = render.page

    def fails(request: Any, template: str, *rest: Any, **values: Any) -> Any:
        if template == "sign_in.html":
            raise RuntimeError(SECRET)
        return shown(request, template, *rest, **values)

    monkeypatch.setattr(render, "page", fails)
    told(service, browser.get("/console/sign-in"), 500)


def test_a_method_that_a_page_does_not_take_is_told_by_a_page(service: Service) -> None:
    answer = signed_in(service, "admin").post("/console/keys")
    assert (answer.status_code, answer.headers["content-type"]) == (405, "text/html; charset=utf-8")
