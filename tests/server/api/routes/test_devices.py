"""Devices as resources: shown, moved, described, shut out, taken out of service, cloned, enrolled anew."""

from typing import Any

import pytest

from tests.server import factories
from tests.server.conftest import Service


def enroll(service: Service, **fields: Any) -> dict[str, Any]:
    answer = service.operator.post("/v1/enroll", json={"model": "speech", "name": "kitchen", **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def listed(service: Service, query: str = "") -> list[str]:
    return [item["id"] for item in service.operator.get(f"/v1/models/speech/devices{query}").json()["items"]]


@pytest.fixture
def device(service: Service) -> dict[str, Any]:
    service.publish_chain(1)
    return enroll(service, attributes={"region": "eu"})


def test_a_device_is_shown_with_its_attributes_and_reports(service: Service, device: dict[str, Any]) -> None:
    own = service.client(device["token"])
    for stage in ("failed", "installed"):
        own.post("/v1/device/reports", json={"stage": stage})
    shown = service.operator.get(f"/v1/devices/{device['device_id']}").json()
    assert (shown["name"], shown["attributes"]) == ("kitchen", {"region": "eu"})
    assert [report["stage"] for report in shown["reports"]] == ["installed", "failed"]
    assert service.operator.get(f"/v1/devices/{'0' * 24}").status_code == 404


def test_a_device_is_moved_and_described(service: Service, device: dict[str, Any]) -> None:
    assert service.operator.post("/v1/models/speech/channels", json={"name": "beta"}).status_code == 201
    body = {"channel": "beta", "name": "hall", "attributes": {"region": None, "group": "pilots"}}
    changed = service.operator.patch(f"/v1/devices/{device['device_id']}", json=body).json()
    assert (changed["channel"], changed["name"], changed["attributes"]) == ("beta", "hall", {"group": "pilots"})
    assert listed(service, "?attribute=group=pilots&channel=beta") == [device["device_id"]]
    assert listed(service, "?attribute=region=eu") == []


@pytest.mark.parametrize(
    ("body", "status"),
    [({"channel": "nowhere"}, 404), ({"name": "\u202e"}, 422), ({"attributes": {"Group": "x"}}, 422)],
)
def test_changes_that_are_refused(service: Service, device: dict[str, Any], body: dict[str, Any], status: int) -> None:
    assert service.operator.patch(f"/v1/devices/{device['device_id']}", json=body).status_code == status


def test_too_many_attributes_are_refused(service: Service, device: dict[str, Any]) -> None:
    path = f"/v1/devices/{device['device_id']}"
    for first in (0, 10):
        body = {"attributes": {f"a{number}": "x" for number in range(first, first + 10)}}
        status = service.operator.patch(path, json=body).status_code
    assert status == 422
    assert len(service.operator.get(path).json()["attributes"]) == 11


def test_a_device_that_is_out_of_service_polls_no_more_and_is_in_no_list(
    service: Service, device: dict[str, Any]
) -> None:
    path, own = f"/v1/devices/{device['device_id']}", service.client(device["token"])
    assert service.operator.delete(path).json()["left"] is not None
    assert own.post("/v1/device/poll", json={"digest": None}).status_code == 401
    assert (listed(service), listed(service, "?left=true")) == ([], [device["device_id"]])
    assert service.operator.patch(path, json={"name": "hall"}).status_code == 409
    assert service.operator.delete(path).status_code == 200, "again changes nothing"
    acts = service.operator.get("/v1/audit?act=device.decommission").json()["items"]
    assert len(acts) == 1, "and leaves no second row"


def test_a_device_that_is_shut_out_has_to_enrol_again(service: Service, device: dict[str, Any]) -> None:
    assert service.operator.post(f"/v1/devices/{device['device_id']}/revoke").status_code == 200
    assert service.client(device["token"]).post("/v1/device/poll", json={"digest": None}).status_code == 401
    assert listed(service) == [device["device_id"]]


def test_who_enrols_again_leaves_no_ghost(service: Service, device: dict[str, Any]) -> None:
    again = enroll(service, replaces=device["token"])
    assert again["replaced"] == device["device_id"]
    assert listed(service) == [again["device_id"]]
    assert enroll(service, replaces="ds_device_guess")["replaced"] is None


def test_clones_are_noticed_and_the_row_keeps_to_one_of_them(service: Service, device: dict[str, Any]) -> None:
    own = service.client(device["token"])
    for boot, label in (("a", "v0"), ("b", "v1"), ("a", "v0"), ("b", "v1"), ("a", "v0")):
        body = {"digest": factories.digest(label), "boot": boot}
        assert own.post("/v1/device/poll", json=body).status_code == 200, "both are served"
    shown = service.operator.get(f"/v1/devices/{device['device_id']}").json()
    assert (shown["cloned"], shown["version"]) == (True, 1)
