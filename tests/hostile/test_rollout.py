"""A rollout to real devices: what it is aborted for takes every device back, for no bytes and on every link."""

from __future__ import annotations

import time
from typing import Any

import httpx2

from diffclient.store.policy import Policy
from tests.client.lineage import MODEL
from tests.hostile.home_server import HomeServer
from tests.hostile.real_device import Device, enrolled

PATIENCE_SECONDS = 30


def rollout(operator: httpx2.Client, number: int = 0) -> dict[str, Any]:
    answer = operator.get(f"/v1/rollouts/{number}") if number else operator.get("/v1/rollouts")
    found: dict[str, Any] = answer.json() if number else answer.json()["items"][-1]
    return found


def ended(operator: httpx2.Client, number: int) -> str:
    """The state in which a rollout ends by itself."""
    until = time.monotonic() + PATIENCE_SECONDS
    while (state := rollout(operator, number)["state"]) == "running" and time.monotonic() < until:
        time.sleep(0.2)
    return str(state)


def test_an_abort_takes_real_devices_back_and_the_gate_leads_them_on(home: HomeServer) -> None:
    with home.serving(DIFFSERVER_ROLLOUT_SECONDS="1") as operator:
        devices = [enrolled(home, operator, f"device {number}") for number in range(4)]
        candidate = home.record(2).id
        body = {"stages": ["2", "100%"], "conditions": {"evidence": "failures", "wait_seconds": 3600}}
        assert operator.post(f"/v1/candidates/{candidate}/publish", json=body).status_code == 201
        for device in devices:
            device.update(operator)
        moved = [device for device in devices if device.number == 2]
        assert len(moved) == 2
        for device in devices:
            device.store.allow(Policy("never", max_bytes=0))
        number = rollout(operator)["id"]
        assert operator.post(f"/v1/rollouts/{number}/abort", json={"reason": "complaints"}).status_code == 200
        outcomes = [device.update(operator) for device in moved]
        assert [(outcome.action, outcome.payload_bytes) for outcome in outcomes] == [("installed", 0)] * 2
        assert {device.number for device in devices} == {1}
        _again(operator, devices)


def _again(operator: httpx2.Client, devices: list[Device]) -> None:
    """The same version, now behind the gate: it goes to all by itself."""
    body = {"version": 2, "stages": ["2", "100%"], "conditions": {"evidence": "failures", "least": 2}}
    number = operator.post(f"/v1/models/{MODEL}/rollouts", json=body).json()["id"]
    for device in devices:
        device.store.allow(Policy())
        device.update(operator)
    assert ended(operator, number) == "done"
    assert rollout(operator, number)["failures"] == []
    for device in devices:
        device.update(operator)
    assert {device.number for device in devices} == {2}
