"""What can be done on pages, by whom, and what is said before it is done."""

from __future__ import annotations

import re
import shutil
from typing import Any

import pytest

from tests.server.conftest import Service
from tests.server.console.browsing import Browser, signed_in
from tests.server.console.filled import fill
from tests.server.rollouts.fleet import enrolled

OPEN, REFUSED = 6, 7
"""The candidates that can be published."""

FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "publish": ("/console/candidates/6/publish", {}),
    "delete a candidate": ("/console/candidates/6/delete", {}),
    "cancel a training": ("/console/trainings/1/cancel", {}),
    "submit a training": ("/console/trainings/new", {"kind": "update", "model": "speech", "data": "/data"}),
}
"""What a publisher may send, and a viewer may not."""

FOR_ADMINS: dict[str, dict[str, str]] = {
    "/console/tokens": {"role": "viewer", "name": "carla"},
    "/console/tokens/1/revoke": {},
}
"""What an admin may send, and nobody else."""


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
        assert text.count('method="post"') == text.count('action="/console/sign-out"') == 1, path
        assert "<button" not in text.replace('<button class="quiet">', ""), path
    for path, fields in FORMS.values():
        assert viewer.post(path, None, **fields).status_code == 403, path


def test_publishing_says_how_many_before_it_is_done(publisher: Browser, filled: Service) -> None:
    for number in range(40):
        filled.device(f"device {number}")
    asked = publisher.get(f"/console/candidates/{OPEN}/publish?channel=stable&stages=10%25,100%25&gate=failures").text
    assert "about 4 <small>devices, 80 kB" in asked
    assert "40 <small>devices, 800 kB" in asked
    answer = publisher.post(f"/console/candidates/{OPEN}/publish", stages="10%,100%", gate="failures", wait_hours="1.5")
    (rollout,) = filled.operator.get("/v1/rollouts").json()["items"]
    assert answer.headers["location"] == f"/console/rollouts/{rollout['id']}"
    assert (rollout["stages"], rollout["conditions"]["evidence"]) == (["10%", "100%"], "failures")
    assert rollout["conditions"]["wait_seconds"] == 5400
    assert (act(filled)["act"], act(filled)["actor"]) == ("candidate.publish", "a-publisher")


def test_publishing_for_some_devices_counts_those(publisher: Browser, filled: Service) -> None:
    for region, count in (("eu", 30), ("us", 10)):
        enrolled(filled, count, attributes={"region": region})
    path = f"/console/candidates/{OPEN}/publish?channel=stable&only=region%3Deu&least=20&stages="
    asked = publisher.get(f"{path}50%25,100%25").text
    assert "30 <small>devices, 600 kB" in asked
    assert "about 15 <small>devices, 300 kB" in asked
    assert "fewer devices than the 20 that must have reported" in asked
    assert "fewer devices" not in publisher.get(f"{path}25,100%25").text
    at_once = publisher.get(f"/console/candidates/{OPEN}/publish?channel=stable").text
    assert "40 <small>devices, 800 kB" in at_once
    answer = publisher.post(f"/console/candidates/{OPEN}/publish")
    assert answer.headers["location"] == "/console/models/speech/versions/5"


@pytest.mark.parametrize(("fields", "status"), [({}, 409), ({"force": "on"}, 303), ({"stages": "10%"}, 422)])
def test_refusals_need_force(publisher: Browser, fields: dict[str, str], status: int) -> None:
    assert publisher.post(f"/console/candidates/{REFUSED}/publish", None, **fields).status_code == status


@pytest.mark.parametrize(
    "typed",
    [
        {"wait_hours": "soon"},
        {"wait_hours": "inf"},
        {"margin": "nan"},
        {"least": "9" * 400},
        {"least": "1.5"},
        {"stages": "10%,5%"},
    ],
)
def test_what_makes_no_sense_is_said_with_a_remedy(publisher: Browser, typed: dict[str, str]) -> None:
    answer = publisher.post(f"/console/candidates/{OPEN}/publish", None, **typed)
    assert answer.status_code == 422
    assert "What to do:" in answer.text
    for name, value in typed.items():
        assert f'name="{name}" value="{value}"' in answer.text, "what was typed stays"


@pytest.mark.parametrize("path", [f"/console/candidates/{OPEN}", "/console/rollouts/new/speech"])
def test_what_holds_where_nothing_is_typed_is_shown_as_the_api_has_it(publisher: Browser, path: str) -> None:
    text = publisher.get(path).text
    schema = publisher.client.get("/openapi.json").json()["components"]["schemas"]
    asked = {name: about.get("default") for name, about in schema["ConditionsRequest"]["properties"].items()}
    shown = dict(re.findall(r'<input id="(\w+)"[^>]* placeholder="([^"]*)"', text))
    assert (float(shown["margin"]), int(shown["least"])) == (asked["margin"], asked["least"])
    assert float(shown["most_failures"]) == 100 * asked["most_failures"]
    assert float(shown["wait_hours"]) * 3600 == asked["wait_seconds"]
    assert f'<option value="{asked["evidence"]}" selected>' in text
    assert shown["stages"].split(",") == schema["RolloutRequest"]["properties"]["stages"]["default"]


def test_a_rollout_of_which_nothing_is_typed_is_as_the_api_starts_it(publisher: Browser, filled: Service) -> None:
    typed = {"version": "3", "channel": "stable", "stages": "", "gate": "field", "margin": "", "least": ""}
    path = publisher.post("/console/rollouts/new/speech", None, **typed).headers["location"]
    on_page = filled.operator.get(f"/v1/{path.removeprefix('/console/')}").json()
    filled.operator.post(f"/v1/rollouts/{on_page['id']}/abort", json={})
    plain = filled.operator.post("/v1/models/speech/rollouts", json={"version": 3}).json()
    assert [on_page[what] for what in ("stages", "conditions")] == [plain[what] for what in ("stages", "conditions")]


def test_where_the_key_is_elsewhere_the_command_is_named(publisher: Browser, filled: Service) -> None:
    shutil.move(filled.settings.keys / "online" / "model-speech.key.json", filled.settings.home / "elsewhere")
    assert "diffserver publish 6 --keys" in publisher.get("/console/candidates/6").text
    answer = publisher.post("/console/candidates/6/publish")
    assert answer.status_code == 409
    assert "where the model&#39;s key is" in answer.text


def test_a_training_is_submitted_and_cancelled(publisher: Browser, filled: Service) -> None:
    typed = {"kind": "update", "model": "speech", "data": "/data", "domain": "foods", "budget": "1.5", "seed": ""}
    answer = publisher.post("/console/trainings/new", None, **typed)
    path = answer.headers["location"]
    made = filled.operator.get(f"/v1/trainings/{path.rpartition('/')[2]}").json()
    assert (made["spec"]["budget"], made["spec"]["seed"], made["spec"]["domain"]) == (0.015, 0, "foods")
    assert publisher.post(f"{path}/cancel").headers["location"] == path
    assert "cancelled" in publisher.get(path).text


@pytest.mark.parametrize(
    "typed", [{"data": ""}, {"budget": "much"}, {"model": "none"}, {"method": "full", "max_drift": "1"}]
)
def test_what_speaks_against_a_training_is_said_above_what_was_typed(publisher: Browser, typed: dict[str, str]) -> None:
    fields = {"kind": "update", "model": "speech", "data": "/data", "domain": "foods", **typed}
    answer = publisher.post("/console/trainings/new", None, **fields)
    assert answer.status_code in (404, 422)
    assert "What to do:" in answer.text
    assert 'value="foods"' in answer.text


def test_tokens_are_for_admins(publisher: Browser) -> None:
    assert 'href="/console/tokens"' not in publisher.get("/").text
    assert publisher.get("/console/tokens").status_code == 403
    for path, fields in FOR_ADMINS.items():
        assert publisher.post(path, None, **fields).status_code == 403


def test_a_token_is_shown_once_and_revoked(filled: Service) -> None:
    admin = signed_in(filled, "admin")
    made = admin.post("/console/tokens", None, role="viewer", name="carla", expires="2100-01-01T12:00")
    secret = re.findall(r"ds_viewer_[\w-]+", made.text)[0]
    assert made.headers["Cache-Control"] == "no-store"
    assert secret not in admin.get("/console/tokens").text + filled.lines.getvalue()
    (row,) = [row for row in filled.operator.get("/v1/tokens").json()["items"] if row["name"] == "carla"]
    assert row["expires"].startswith("2100-01-01T12:00")
    assert filled.client(secret).get("/v1/models").status_code == 200
    assert admin.post(f"/console/tokens/{row['id']}/revoke").headers["location"] == "/console/tokens"
    assert filled.client(secret).get("/v1/models").status_code == 401


NO_TOKEN = [{"name": "<b>"}, {"uses": "2"}, {"expires": "2001-01-01T00:00"}, {"expires": "soon"}]


@pytest.mark.parametrize("typed", NO_TOKEN)
def test_what_speaks_against_a_token_is_said(filled: Service, typed: dict[str, str]) -> None:
    fields = {"role": "viewer", "name": "carla", **typed}
    answer = signed_in(filled, "admin").post("/console/tokens", None, **fields)
    assert answer.status_code == 422
    assert "What to do:" in answer.text
