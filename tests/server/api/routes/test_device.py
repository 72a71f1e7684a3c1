from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from diffserver.api.limits import PollGate
from diffserver.catalog import tokens
from diffserver.storage.database import writing
from diffserver.storage.tables import Device
from tests.server import factories
from tests.server.conftest import Service, record, release

INSTALLED = {
    "stage": "installed",
    "from_digest": factories.digest("v0"),
    "to_digest": factories.digest("v1"),
    "failed_stage": None,
    "reason": None,
    "cause": None,
    "errors": 12,
    "total": 400,
    "error_rate_ppm": 30_000,
    "drift_ppm": -2500,
    "downloaded_bytes": 20_000,
    "seconds_apply": 0.25,
    "seconds_total": 1.5,
    "report_id": "5e" * 16,
    "device_time": 1_764_100_000,
}


def poll(device: Any, label: str | None) -> dict[str, Any]:
    body = {"digest": label and factories.digest(label), "client": "diffclient/0.1.0"}
    answer = device.post("/v1/device/poll", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_device_enrols_polls_installs_and_reports(service: Service) -> None:
    service.publish_chain(1)
    device = service.device()
    first = poll(device, "v0")
    assert (first["action"], first["version"], first["digest"]) == ("update", 1, factories.digest("v1"))
    assert first["poll_seconds"] == 300
    assert first["steps"] == ["speech/v0/1.from.0"]
    for _ in range(2):
        assert device.post("/v1/device/reports", json=INSTALLED).json() == {"id": 1}, "the second time, as the first"
    again = poll(device, "v1")
    assert (again["action"], again["steps"], again["version"]) == ("none", [], 1)
    (shown,) = service.operator.get("/v1/models/speech/devices").json()["items"]
    assert (shown["name"], shown["version"], shown["client"]) == ("kitchen", 1, "diffclient/0.1.0")
    assert {name: shown["last_report"][name] for name in INSTALLED} == INSTALLED
    (report,) = service.operator.get("/v1/reports?model=speech").json()["items"]
    assert report == shown["last_report"]
    assert (report["device"], report["device_id"]) == ("kitchen", shown["id"])


def test_what_a_device_says_of_itself_is_shown(service: Service) -> None:
    service.publish_chain(1)
    device = service.device()

    def shown(path: str, **said: Any) -> dict[str, Any]:
        body = {"digest": factories.digest("v1"), "previous": factories.digest("v0")} | said
        assert device.post(f"/v1/device/{path}", json=body).is_success
        (found,) = service.operator.get("/v1/models/speech/devices").json()["items"]
        return {name: found[name] for name in ("version", "kept", "previous", "stage", "silent")}

    held = {"version": 1, "kept": 0, "previous": factories.digest("v0"), "silent": False}
    assert shown("state", stage="download") == held | {"stage": "download"}
    assert shown("poll") == held | {"stage": None}
    assert shown("state", previous=None) == held | {"kept": None, "previous": None, "stage": None}


def test_a_device_that_was_silent_for_too_long_is_shown_as_such(service: Service) -> None:
    service.publish_chain(0)
    service.device().post("/v1/device/state", json={"digest": None, "stage": "download"})
    with writing(service.engine) as session:
        (device,) = session.scalars(select(Device))
        assert device.last_seen is not None
        device.last_seen -= timedelta(seconds=service.settings.update_seconds + 1)
    (shown,) = service.operator.get("/v1/models/speech/devices").json()["items"]
    assert (shown["stage"], shown["silent"]) == ("download", True)


@pytest.mark.parametrize("stage", ["installed", "rolled_back", "failed", "postponed"])
def test_a_report_says_what_is_at_fault_and_nothing_of_what_runs(service: Service, stage: str) -> None:
    service.publish_chain(1)
    device = service.device()
    poll(device, "v0")
    assert device.post("/v1/device/reports", json=INSTALLED | {"stage": stage, "cause": "network"}).is_success
    (shown,) = service.operator.get("/v1/models/speech/devices").json()["items"]
    assert (shown["version"], shown["digest"]) == (0, factories.digest("v0"))
    (report,) = service.operator.get("/v1/reports").json()["items"]
    assert (report["stage"], report["cause"]) == (stage, "network")
    assert shown["last_report"] == report


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/enroll", {"model": "speech", "name": "attic"}),
        ("/v1/device/poll", {"digest": None}),
        ("/v1/device/state", {"digest": None}),
        ("/v1/device/reports", INSTALLED),
    ],
)
def test_what_a_newer_client_says_more_is_ignored(service: Service, path: str, body: dict[str, Any]) -> None:
    service.publish_chain(0)
    caller = service.operator if path == "/v1/enroll" else service.device()
    assert caller.post(path, json=body | {"celsius": 41}).is_success


def test_only_what_devices_send_may_have_unknown_fields(service: Service) -> None:
    document = service.public.get("/openapi.json").json()
    schemas, strict = document["components"]["schemas"], {}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body:
                schema = schemas[body["schema"]["$ref"].rpartition("/")[2]]
                strict[path] = schema.get("additionalProperties") is False
    lenient = {path for path, refused in strict.items() if not refused}
    assert lenient == {"/v1/enroll", "/v1/device/poll", "/v1/device/state", "/v1/device/reports"}
    assert len(strict) > 8


def test_a_new_device_gets_a_snapshot(service: Service) -> None:
    service.publish_chain(2)
    answer = poll(service.device(), None)
    assert (answer["action"], answer["steps"]) == ("update", ["speech/v0/2.snapshot"])


def test_nothing_is_published_yet(service: Service) -> None:
    record(service.engine, factories.base())
    answer = poll(service.device(), None)
    assert answer.pop("metadata")["root"] == 1
    assert {**answer, "poll_seconds": 0} == {
        "action": "none",
        "version": None,
        "digest": None,
        "steps": [],
        "poll_seconds": 0,
        "notice": None,
    }


def test_an_enrolment_token_enrols_and_does_nothing_else(service: Service) -> None:
    service.publish_chain(0)
    with writing(service.engine) as session:
        token, secret = tokens.create(session, "enroll", "factory")
    factory = service.client(secret)
    body = {"model": "speech", "name": "bedroom"}
    answer = factory.post("/v1/enroll", json=body)
    assert answer.status_code == 201
    assert answer.json().items() >= {"model": "speech", "channel": "stable"}.items()
    assert factory.get("/v1/models").status_code == 403
    with writing(service.engine) as session:
        tokens.revoke(session, token.id)
    assert factory.post("/v1/enroll", json=body).status_code == 401


def test_a_failure_keeps_its_stage_and_reason(service: Service) -> None:
    service.publish_chain(1)
    device = service.device()
    poll(device, "v0")
    body = {"stage": "failed", "failed_stage": "verify", "reason": "digest mismatch\nat conv", "to_digest": "ab" * 32}
    assert device.post("/v1/device/reports", json=body).status_code == 201
    (shown,) = service.operator.get("/v1/models/speech/devices").json()["items"]
    assert (shown["version"], shown["last_report"]["failed_stage"]) == (0, "verify")
    assert shown["last_report"]["reason"] == "digest mismatch at conv"


def test_errors_in_the_field_are_kept_as_they_were_counted(service: Service) -> None:
    service.publish_chain(1)
    device = service.device()
    poll(device, "v0")
    counted = {"to_digest": factories.digest("v0"), "errors": 60, "total": 50, "measure": "corrections"}
    for _ in range(2):
        body = {"stage": "field", "report_id": "a" * 32, **counted}
        assert device.post("/v1/device/reports", json=body).status_code == 201
    (shown,) = service.operator.get("/v1/reports").json()["items"]
    assert {name: shown[name] for name in counted} == counted
    assert service.operator.get("/v1/models/speech/devices").json()["items"][0]["last_report"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "flying"},
        {"measure": "x" * 65},
        {"errors": -1},
        {"errors": 2**31},
        {"errors": 1.5},
        {"error_rate_ppm": 2**40},
        {"downloaded_bytes": 2**60},
        {"seconds_apply": -1},
        {"to_digest": "xyz"},
        {"reason": "x" * 20_001},
        {"failed_stage": ""},
        {"report_id": "mine"},
        {"cause": "the weather"},
    ],
)
def test_a_report_that_makes_no_sense_is_refused(service: Service, change: dict[str, Any]) -> None:
    service.publish_chain(0)
    device = service.device()
    assert device.post("/v1/device/reports", json=INSTALLED | change).status_code == 422
    assert service.operator.get("/v1/reports").json()["items"] == []


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "1e400"])
def test_numbers_that_are_none_are_refused(service: Service, literal: str) -> None:
    service.publish_chain(0)
    body = f'{{"stage": "installed", "seconds_total": {literal}}}'
    answer = service.device().post("/v1/device/reports", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


def test_too_many_polls_at_once_are_told_to_come_back(service: Service) -> None:
    release(service.engine, factories.base())
    device = service.device()
    service.app.state.gate = PollGate(limit=0, least_wait=30)
    answer = device.post("/v1/device/poll", json={"digest": None})
    assert answer.status_code == 503
    assert 31 <= int(answer.headers["retry-after"]) <= 39
    assert answer.json()["type"] == "urn:diffserver:problem:busy"
    service.app.state.gate = PollGate(limit=1, least_wait=30)
    for _ in range(3):
        assert poll(device, None)["action"] == "update", "a poll that is over counts no more"
    device.post("/v1/device/poll", json={"digest": "bad"})
    assert poll(device, None)["action"] == "update", "nor does one that failed"
