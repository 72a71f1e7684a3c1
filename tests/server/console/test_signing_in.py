"""Who may sign in, how a session ends, and what stands before every page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import select, update

from diffserver.api.guesses import SECONDS_EACH
from diffserver.app import create_app
from diffserver.catalog import tokens
from diffserver.console.guard import HEADERS, ConsoleRoute
from diffserver.console.pages import mount
from diffserver.console.pages.all import PAGES
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Audit, SignIn, Token
from tests.server.api.test_authorisation import NOTHING
from tests.server.conftest import Service
from tests.server.console.browsing import ORIGIN, Browser, signed_in

OPEN = {"sign_in_page", "sign_in", "asset", "nowhere"}
"""What needs no session."""

ROUTES = [route for page in PAGES for route in page.router.routes if isinstance(route, APIRoute)]


def ask(browser: Browser, route: APIRoute, **fields: str) -> Any:
    """Ask for a page of what is not there."""
    path = route.path.format_map({**NOTHING, "act": "pause", "path": "none"})
    return browser.get(path) if "GET" in (route.methods or ()) else browser.post(path, None, **fields)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.name not in OPEN], ids=lambda route: route.name)
def test_every_page_asks_who_is_there(service: Service, route: APIRoute) -> None:
    assert isinstance(route, ConsoleRoute)
    answer = ask(Browser(service), route)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/console/sign-in?next=")


@pytest.mark.parametrize("role", ["viewer", "publisher", "admin"])
def test_an_operator_signs_in_and_out(service: Service, role: Any) -> None:
    browser = signed_in(service, role)
    page = browser.get("/")
    assert page.status_code == 200
    assert f"a-{role} ({role})" in page.text
    assert browser.post("/console/sign-out").headers["location"] == "/console/sign-in"
    assert browser.get("/").status_code == 303
    with reading(service.engine) as session:
        assert session.scalars(select(Audit.act).where(Audit.role == role)).all() == ["console.sign_in"]


@pytest.mark.parametrize(("role", "status"), [("enroll", 403), ("device", 403)])
def test_others_do_not(service: Service, role: Any, status: int) -> None:
    assert Browser(service).sign_in(service.token(role, "somebody")).status_code == status


def test_a_wrong_token_is_counted_by_address(service: Service) -> None:
    browser = Browser(service)
    allowed = service.settings.quotas.wrong_tokens
    answers = [browser.sign_in(f"ds_admin_{number}").status_code for number in range(allowed + 1)]
    assert answers == [401] * allowed + [429], SECONDS_EACH


def test_a_token_is_in_no_page_cookie_url_or_log(service: Service) -> None:
    token = service.token("viewer", "walter")
    browser = Browser(service)
    answer = browser.sign_in(token, next="/console/none")
    assert answer.headers["location"] == "/console/none"
    assert token not in answer.headers["set-cookie"] + answer.text + browser.get("/").text + service.lines.getvalue()
    secret = browser.client.cookies["diffserver"]
    assert secret not in service.lines.getvalue()
    with reading(service.engine) as session:
        assert session.scalars(select(SignIn.sha256)).all() == [tokens.digest_of(secret)]


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:1"])
def test_signing_in_leads_to_no_other_place(service: Service, elsewhere: str) -> None:
    answer = Browser(service).sign_in(service.token("viewer", "walter"), next=elsewhere)
    assert answer.headers["location"] == "/"


def test_the_cookie_is_out_of_reach(service: Service) -> None:
    token = service.token("viewer", "walter")
    plain = Browser(service).sign_in(token).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= set(plain.split("; "))
    secure = Browser(service, "https://testserver").sign_in(token).headers["set-cookie"]
    assert secure.startswith("__Host-diffserver=")
    assert "Secure" in secure.split("; ")


@pytest.mark.parametrize("what", ["revoked", "expired", "over"])
def test_a_session_ends(service: Service, what: str) -> None:
    browser, past = signed_in(service, "viewer"), utc_now() - timedelta(seconds=1)
    with writing(service.engine) as session:
        if what == "over":
            session.execute(update(SignIn).values(ends_at=past))
        else:
            column = {"revoked": Token.revoked_at, "expired": Token.expires_at}[what]
            session.execute(update(Token).where(Token.role == "viewer").values({column: past}))
    assert browser.get("/").status_code == 303
    assert browser.get("/", **{"X-Part": "1"}).status_code == 401


def test_a_session_is_known_to_other_replicas(service: Service) -> None:
    browser = signed_in(service, "viewer")
    other = Browser(Service(**{**vars(service), "app": create_app(service.settings)}))
    other.client.cookies.set("diffserver", browser.client.cookies["diffserver"])
    assert other.get("/console/none").status_code == 404
    with other.client:
        assert other.get("/").status_code == 200


@pytest.mark.parametrize(
    ("headers", "fields", "status"),
    [
        (ORIGIN, {}, 303),
        ({}, {}, 403),
        ({"Origin": "http://evil.example"}, {}, 403),
        ({"Origin": "null"}, {}, 403),
        (ORIGIN | {"Sec-Fetch-Site": "cross-site"}, {}, 403),
        (ORIGIN | {"Sec-Fetch-Site": "same-site"}, {}, 403),
        (ORIGIN, {"form_token": ""}, 403),
        (ORIGIN, {"form_token": "é" * 64}, 403),
        (ORIGIN, {"form_token": "0" * 64}, 403),
        (ORIGIN, {str(number): "x" for number in range(60)}, 422),
    ],
)
def test_only_the_consoles_own_forms_are_taken(
    service: Service, headers: dict[str, str], fields: dict[str, str], status: int
) -> None:
    browser = signed_in(service, "admin")
    assert browser.post("/console/sign-out", headers, **fields).status_code == status
    assert browser.get("/").status_code == (303 if status == 303 else 200)


@pytest.mark.parametrize("path", ["/", "/console/sign-in", "/console/none", "/console/assets/console.js"])
def test_every_answer_has_the_headers(service: Service, path: str) -> None:
    answer = signed_in(service, "viewer").get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == ("max-age=3600" if "assets" in path and name == "Cache-Control" else value)


def test_the_api_takes_no_cookie_and_no_pretended_state(service: Service) -> None:
    browser = signed_in(service, "admin")
    assert browser.get("/v1/status", **{"signed_in": "1"}).status_code == 401


def test_a_server_without_the_console_says_how_to_get_it(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    answer = Browser(Service(**{**vars(service), "app": create_app(service.settings)})).get("/")
    assert (answer.status_code, answer.text) == (404, mount.MISSING)
