"""A fleet at a service: devices that poll, take what they are told, and report, over HTTP."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from starlette.testclient import TestClient

from diffserver.upkeep.rollouts import move_on
from tests.server import factories
from tests.server.conftest import Service

NUMBERS = itertools.count()


@dataclass
class PollingDevice:
    """A device that installs whatever it is told to, at once."""

    client: TestClient
    id: str
    holds: str | None = None
    keeps: str | None = None
    heard: list[int | None] = field(default_factory=list)

    def poll(self) -> dict[str, Any]:
        """Poll, install and report; return the answer."""
        body = {"digest": self.holds, "previous": self.keeps, "client": "test"}
        answer: dict[str, Any] = self.client.post("/v1/device/poll", json=body).json()
        self.heard.append(answer["version"])
        if answer["digest"] not in (None, self.holds):
            before, self.holds, self.keeps = self.holds, answer["digest"], self.holds
            self.client.post("/v1/device/state", json={"digest": self.holds, "previous": self.keeps})
            self.report("installed", from_digest=before, to_digest=self.holds)
        return answer

    def report(self, stage: str, **fields: Any) -> None:
        """Make a report with an id of its own."""
        body = {"stage": stage, "report_id": f"{next(NUMBERS):032x}", **fields}
        answer = self.client.post("/v1/device/reports", json=body)
        assert answer.status_code == 201, answer.text

    def count(self, errors: int, total: int) -> None:
        """Say what was counted in the field."""
        self.report("field", to_digest=self.holds, errors=errors, total=total)


def enrolled(service: Service, count: int, **fields: Any) -> list[PollingDevice]:
    """So many devices, which run what the channel stands at."""
    devices = []
    for number in range(count):
        body = {"model": "speech", "name": f"device {number}", **fields}
        made = service.operator.post("/v1/enroll", json=body).json()
        devices.append(PollingDevice(service.client(made["token"]), made["device_id"]))
        devices[-1].poll()
    return devices


def publish_in_stages(service: Service, number: int, stages: str, start: int | None = None, **conditions: Any) -> int:
    """Publish an update in a rollout; return the rollout's number."""
    parent = number - 1 if start is None else start
    new = factories.update(f"v{parent}", f"v{number}", number, start=parent)
    answer = service.operator.post(
        f"/v1/candidates/{service.record(new).id}/publish",
        json={"stages": stages.split(","), "conditions": conditions},
    )
    assert answer.status_code == 201, answer.text
    return int(service.operator.get("/v1/rollouts").json()["items"][-1]["id"])


def shown(service: Service, rollout: int) -> dict[str, Any]:
    answer: dict[str, Any] = service.operator.get(f"/v1/rollouts/{rollout}").json()
    return answer


def look(service: Service) -> dict[int, str]:
    """Let the server look at its rollouts once."""
    return dict(move_on(service.engine, service.keyring, "test"))


def running(devices: list[PollingDevice], label: str) -> list[PollingDevice]:
    return [device for device in devices if device.holds == factories.digest(label)]
