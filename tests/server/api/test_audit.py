"""The audit log: each act of an operator leaves a row, and no secret is in it."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.routing import APIRoute

from diffclient.payload.frame import MAGIC
from tests.server import factories
from tests.server.conftest import Service

NO_ACT = {"report", "poll", "tell", "put_checkpoint", "put_graph", "put_diff", "try_webhook"}
"""What devices say, uploads, which are tried by themselves, and a trial, which changes nothing."""


def acts(service: Service, query: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = service.operator.get(f"/v1/audit{query}").json()["items"]
    return items


def published(service: Service) -> str:
    return f"/v1/candidates/{service.record(factories.update('v1', 'v2', 2)).id}/publish"


def device_path(service: Service) -> str:
    made = service.operator.post("/v1/enroll", json={"model": "speech", "name": "kitchen"}).json()
    return f"/v1/devices/{made['device_id']}"


def rollout(service: Service, *before: str) -> str:
    body = {"version": 0, "stages": ["50%", "100%"]}
    made = service.operator.post("/v1/models/speech/rollouts", json=body).json()
    for act in before:
        service.operator.post(f"/v1/rollouts/{made['id']}/{act}", json={"reason": "test"})
    return f"/v1/rollouts/{made['id']}"


def token(service: Service) -> str:
    made = service.operator.post("/v1/tokens", json={"role": "viewer", "name": "berta"}).json()
    return f"/v1/tokens/{made['id']}"


def empty_model(service: Service) -> str:
    service.record(factories.base(model="other"))
    return "/v1/models/other"


def training(service: Service) -> str:
    body = {"kind": "update", "model": "speech", "data": "/data/speech"}
    return f"/v1/trainings/{service.operator.post('/v1/trainings', json=body).json()['id']}"


ACTS: dict[str, tuple[str, Callable[[Service], str], Any]] = {
    "enroll": ("device.enroll", lambda _: "/v1/enroll", {"model": "speech", "name": "kitchen"}),
    "submit_training": (
        "training.submit",
        lambda _: "/v1/trainings",
        {"kind": "update", "model": "speech", "data": "/data/speech"},
    ),
    "cancel_training": ("training.cancel", training, None),
    "publish_candidate": ("candidate.publish", published, {}),
    "delete_candidate": ("candidate.delete", lambda service: published(service).removesuffix("/publish"), None),
    "move_channel": ("channel.move", lambda _: "/v1/models/speech/channel", {"version": 0}),
    "retire": ("diffs.retire", lambda _: "/v1/models/speech/retire", {"before": 0}),
    "renew": ("metadata.renew", lambda _: "/v1/models/speech/renew", {}),
    "change_model": ("model.archive", lambda _: "/v1/models/speech", {"archived": True}),
    "delete_model": ("model.delete", empty_model, None),
    "create_channel": ("channel.create", lambda _: "/v1/models/speech/channels", {"name": "beta"}),
    "change_channel": ("channel.change", lambda _: "/v1/models/speech/channels/stable", {"two_persons": True}),
    "change_device": ("device.change", device_path, {"name": "hall"}),
    "decommission_device": ("device.decommission", device_path, None),
    "revoke_device": ("device.revoke", lambda service: f"{device_path(service)}/revoke", None),
    "create_token": ("token.create", lambda _: "/v1/tokens", {"role": "enroll", "name": "line 2"}),
    "revoke_token": ("token.revoke", token, None),
    "start_rollout": ("rollout.start", lambda _: "/v1/models/speech/rollouts", {"version": 0}),
    "approve_rollout": ("rollout.approve", lambda service: f"{rollout(service)}/approve", None),
    "pause_rollout": ("rollout.pause", lambda service: f"{rollout(service)}/pause", {}),
    "resume_rollout": ("rollout.resume", lambda service: f"{rollout(service, 'pause')}/resume", None),
    "abort_rollout": ("rollout.abort", lambda service: f"{rollout(service)}/abort", {}),
}


def changing(service: Service) -> dict[str, APIRoute]:
    """All endpoints that change something, by name."""
    routes: list[APIRoute] = service.app.state.routes
    return {route.name: route for route in routes if not (route.methods or set()) <= {"GET", "HEAD"}}


def test_every_endpoint_that_changes_something_is_tried_here(service: Service) -> None:
    assert changing(service).keys() - NO_ACT == ACTS.keys()


@pytest.mark.parametrize("name", ACTS)
def test_an_act_leaves_a_row(service: Service, name: str) -> None:
    service.publish_chain(1)
    act, path, body = ACTS[name]
    (method,) = changing(service)[name].methods or {"none"}
    made = path(service)
    before = len(acts(service))
    answer = service.operator.request(method, made, json=body)
    assert answer.is_success, answer.text
    (row,) = acts(service)[before:]
    assert (row["act"], row["actor"], row["role"]) == (act, "anna", "admin")
    assert "ds_" not in str(row["details"])


@pytest.mark.parametrize("kind", ["graph", "diff"])
def test_an_upload_leaves_a_row(service: Service, kind: str) -> None:
    data = MAGIC + bytes(60) if kind == "diff" else b"a graph"
    sha256 = hashlib.sha256(data).hexdigest()
    assert service.operator.put(f"/v1/checkpoints/{kind}s/{sha256}", content=data).status_code == 201
    (row,) = acts(service)
    assert (row["act"], row["details"]) == (f"{kind}.upload", {"sha256": sha256, "length": len(data)})


def test_what_was_refused_leaves_none(service: Service) -> None:
    service.publish_chain(1)
    assert service.operator.post("/v1/models/speech/channel", json={"version": 1}).status_code == 409
    assert acts(service) == []


def test_acts_are_found_by_model_kind_and_moment(service: Service) -> None:
    service.publish_chain(1)
    service.operator.post("/v1/tokens", json={"role": "viewer", "name": "berta"})
    service.operator.post("/v1/models/speech/channel", json={"version": 0})
    assert [row["act"] for row in acts(service)] == ["token.create", "channel.move"]
    assert [row["act"] for row in acts(service, "?model=speech")] == ["channel.move"]
    assert [row["act"] for row in acts(service, "?act=token.create")] == ["token.create"]
    assert acts(service, "?since=2100-01-01T00:00:00Z") == []


def test_the_newest_come_first_where_they_are_wanted(service: Service) -> None:
    for name in ("berta", "carla", "dora"):
        service.operator.post("/v1/tokens", json={"role": "viewer", "name": name})
    numbers = [row["id"] for row in acts(service)]
    page = service.operator.get("/v1/audit?newest=true&limit=2").json()
    assert [row["id"] for row in page["items"]] == numbers[:0:-1]
    assert [row["id"] for row in acts(service, f"?newest=true&after={page['next']}")] == numbers[:1]
