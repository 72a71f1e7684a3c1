"""What can be done on pages, by whom, and what is said before it is done."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from tests.server.conftest import Service
from tests.server.console.browsing import Browser, signed_in
from tests.server.console.filled import fill

OPEN, REFUSED = 6, 7
"""The candidates that can be published."""

FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "publish": ("/console/candidates/6/publish", {}),
    "delete a candidate": ("/console/candidates/6/delete", {}),
}
"""What a publisher may send, and a viewer may not."""


@pytest.fixture
def filled(service: Service) -> Service:
    fill(service, devices=0)
    return service


@pytest.fixture
def publisher(filled: Service) -> Browser:
    return signed_in(filled, "publisher")


@pytest.fixture
def viewer(filled: Service) -> Browser:
    return signed_in(filled, "viewer")


def act(service: Service) -> Any:
    return service.operator.get("/v1/audit?newest=true&limit=1").json()["items"][0]


def test_a_viewer_sees_no_form_and_may_send_none(viewer: Browser) -> None:
    for path in {path.rpartition("/")[0] for path, _ in FORMS.values()}:
        text = viewer.get(path).text
        assert 'method="post"' not in text.replace('action="/console/sign-out"', "").replace(
            '<form class="who" method="post"', ""
        ), path
    for path, fields in FORMS.values():
        assert viewer.post(path, None, **fields).status_code == 403, path


def test_publishing_says_how_many_before_it_is_done(publisher: Browser, filled: Service) -> None:
    for number in range(40):
        filled.device(f"device {number}")
    asked = publisher.get(f"/console/candidates/{OPEN}/publish?channel=stable&stages=10%25,100%25&gate=failures").text
    assert "4 <small>devices, 80 kB" in asked
    assert "40 <small>devices, 800 kB" in asked
    answer = publisher.post(f"/console/candidates/{OPEN}/publish", stages="10%,100%", gate="failures", wait_hours="1.5")
    assert answer.headers["location"] == "/console/models/speech/versions/5"
    (rollout,) = filled.operator.get("/v1/rollouts").json()["items"]
    assert (rollout["stages"], rollout["conditions"]["evidence"]) == (["10%", "100%"], "failures")
    assert rollout["conditions"]["wait_seconds"] == 5400
    assert (act(filled)["act"], act(filled)["actor"]) == ("candidate.publish", "a-publisher")


@pytest.mark.parametrize(("fields", "status"), [({}, 409), ({"force": "on"}, 303), ({"stages": "10%"}, 422)])
def test_refusals_need_force(publisher: Browser, fields: dict[str, str], status: int) -> None:
    assert publisher.post(f"/console/candidates/{REFUSED}/publish", None, **fields).status_code == status


@pytest.mark.parametrize("typed", [{"wait_hours": "soon"}, {"least": "1.5"}, {"stages": "10%,5%"}])
def test_what_makes_no_sense_is_said_with_a_remedy(publisher: Browser, typed: dict[str, str]) -> None:
    answer = publisher.post(f"/console/candidates/{OPEN}/publish", None, **typed)
    assert answer.status_code == 422
    assert "What to do:" in answer.text


def test_where_the_key_is_elsewhere_the_command_is_named(publisher: Browser, filled: Service) -> None:
    shutil.move(filled.settings.keys / "online" / "model-speech.key.json", filled.settings.home / "elsewhere")
    assert "diffserver publish 6 --keys" in publisher.get("/console/candidates/6").text
    answer = publisher.post("/console/candidates/6/publish")
    assert answer.status_code == 409
    assert "where the model&#39;s key is" in answer.text
