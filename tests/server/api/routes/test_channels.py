"""Channels over HTTP: made, listed, asked for two persons."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.conftest import Service
from tests.server.rollouts.fleet import enrolled

CHANNELS = "/v1/models/speech/channels"


@pytest.fixture
def service(service: Service) -> Service:
    service.publish_chain(2)
    return service


def listed(service: Service) -> dict[str, Any]:
    return {item["name"]: item for item in service.operator.get(CHANNELS).json()["items"]}


def test_a_channel_stands_where_stable_does_or_where_it_is_told(service: Service) -> None:
    assert service.operator.post(CHANNELS, json={"name": "beta"}).json()["version"] == 2
    assert service.operator.post(CHANNELS, json={"name": "old", "version": 1}).json()["version"] == 1
    enrolled(service, 2, channel="old")
    assert {name: (item["version"], item["devices"]) for name, item in listed(service).items()} == {
        "beta": (2, 0),
        "old": (1, 2),
        "stable": (2, 0),
    }


def test_a_second_channel_of_a_name_is_refused(service: Service) -> None:
    assert service.operator.post(CHANNELS, json={"name": "beta", "version": 1}).status_code == 201
    answer = service.operator.post(CHANNELS, json={"name": "beta"})
    assert (answer.status_code, answer.json()["detail"]) == (409, "model speech has a channel beta already")
    assert listed(service)["beta"]["version"] == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (CHANNELS, {"name": "beta", "version": 9}, 404),
        (CHANNELS, {"name": "Beta"}, 422),
        ("/v1/models/none/channels", {"name": "beta"}, 404),
    ],
)
def test_what_makes_no_channel(service: Service, path: str, body: dict[str, Any], status: int) -> None:
    assert service.operator.post(path, json=body).status_code == status
    assert list(listed(service)) == ["stable"]


def test_a_channel_asks_for_two_persons_or_for_one(service: Service) -> None:
    for wanted in (True, False):
        changed = service.operator.patch(f"{CHANNELS}/stable", json={"two_persons": wanted})
        assert changed.json()["two_persons"] is listed(service)["stable"]["two_persons"] is wanted
    assert service.operator.patch(f"{CHANNELS}/none", json={"two_persons": True}).status_code == 404


@pytest.mark.parametrize(
    ("asked", "reach"),
    [
        ({}, (10, 10)),
        ({"stage": "25%"}, (10, 3)),
        ({"stage": "4"}, (10, 4)),
        ({"stage": "40"}, (10, 10)),
        ({"stage": "25%", "only": ["region=eu"]}, (6, 2)),
        ({"stage": "group=pilots", "only": ["region=eu"]}, (6, 1)),
        ({"only": ["region=eu", "region=us"]}, (9, 9)),
        ({"only": ["region=eu", "group=pilots"]}, (1, 1)),
    ],
    ids=str,
)
def test_how_many_devices_a_rollout_would_come_to(service: Service, asked: dict[str, Any], reach: Any) -> None:
    enrolled(service, 5, attributes={"region": "eu"})
    enrolled(service, 1, attributes={"region": "eu", "group": "pilots"})
    enrolled(service, 3, attributes={"region": "us"})
    enrolled(service, 1)
    service.operator.post(CHANNELS, json={"name": "beta"})
    enrolled(service, 2, channel="beta", attributes={"region": "eu"})
    found = service.operator.get(f"{CHANNELS}/stable/reach", params=asked).json()
    assert (found["devices"], found["stage"]) == reach


@pytest.mark.parametrize("asked", [{"stage": "0%"}, {"stage": "soon"}, {"only": ["eu"]}], ids=str)
def test_what_is_no_stage_or_no_attribute_is_refused(service: Service, asked: dict[str, Any]) -> None:
    assert service.operator.get(f"{CHANNELS}/stable/reach", params=asked).status_code == 422
