"""What each role may do at the console: every page, by its name, with every role, over HTTP.

A new page without a row fails here, and so does a row without a page.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from diffserver.console.sessions import ROLES
from tests.server.conftest import Service
from tests.server.console.browsing import Browser, signed_in
from tests.server.console.test_signing_in import OPEN, ROUTES, ask

TABLE: Mapping[str, str] = {
    "overview": "viewer",
    "fleet": "viewer",
    "all_rollouts": "viewer",
    "one_rollout": "viewer",
    "rollout_now": "viewer",
    "list_devices": "viewer",
    "one_device": "viewer",
    "sign_out": "viewer",
    "new_rollout": "publisher",
    "start_rollout": "publisher",
    "ask_before": "publisher",
    "do": "publisher",
    "ask_where_to": "publisher",
    "recall": "publisher",
    "models": "viewer",
    "model": "viewer",
    "version": "viewer",
    "on_devices": "viewer",
    "candidates": "viewer",
    "beside": "viewer",
    "candidate": "viewer",
    "confirm": "publisher",
    "publish": "publisher",
    "delete": "publisher",
    "trainings": "viewer",
    "listed": "viewer",
    "training": "viewer",
    "state": "viewer",
    "new": "publisher",
    "submit": "publisher",
    "cancel": "publisher",
    "audit": "viewer",
    "keys": "viewer",
    "tokens": "admin",
    "create": "admin",
    "revoke": "admin",
}
"""By page: the least role that it answers."""

GUARDED = sorted((route for route in ROUTES if route.name not in OPEN), key=lambda route: route.name == "sign_out")
"""With signing out as the last."""

EMPTY = ["/", "/console/overview/fleet", "/console/rollouts", "/console/devices"]


def test_every_page_has_a_row() -> None:
    assert {route.name for route in GUARDED} == TABLE.keys()


@pytest.mark.parametrize("role", ROLES)
def test_a_page_refuses_lesser_roles(service: Service, role: str) -> None:
    browser = signed_in(service, role)
    answers = {route.name: ask(browser, route, version="1").status_code for route in GUARDED}
    expected = {name: ROLES.index(role) < ROLES.index(least) for name, least in TABLE.items()}
    assert {name: status == 403 for name, status in answers.items()} == expected
    assert max(answers.values()) < 500


@pytest.mark.parametrize("path", EMPTY)
def test_a_server_without_anything_has_pages(service: Service, path: str) -> None:
    assert signed_in(service, "viewer").get(path).status_code == 200


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"version": "one", "stages": "100%"}, "version: &#39;one&#39; is no whole number"),
        ({"version": "1", "stages": "100%", "margin": "much"}, "margin: &#39;much&#39; is no number"),
        ({"version": "1", "stages": "100%", "wait_hours": "inf"}, "wait hours: &#39;inf&#39; is no number"),
        ({"version": "1", "only": "region"}, "&#39;region&#39; is no attribute of devices"),
        ({"version": "1", "stages": "50%"}, "a rollout ends with all devices"),
        ({"version": "7", "stages": "100%", "channel": "stable"}, "version 7"),
    ],
)
def test_what_is_wrong_with_a_form_is_said(service: Service, fields: dict[str, str], said: str) -> None:
    service.publish_chain(1)
    answer = signed_in(service, "publisher").post(
        "/console/rollouts/new/speech", None, **{"channel": "stable"} | fields
    )
    assert said in answer.text
    assert answer.status_code in (404, 422)
    assert "What to do:" in answer.text
    assert f'value="{fields.get("stages", "")}"' in answer.text, "what was typed stays"


def test_a_channel_is_recalled(service: Service) -> None:
    service.publish_chain(2)
    browser: Browser = signed_in(service, "publisher")
    assert "Recall to version 1" in browser.get("/console/models/speech/recall/stable").text
    assert browser.post("/console/models/speech/recall/stable", None, version="1").headers["location"] == "/"
    assert "stable at 1" in browser.get("/").text
