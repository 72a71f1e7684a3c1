"""What a fleet did over time: devices by version, failures, and what the gate said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, update

from diffserver.rollouts import tallies
from diffserver.storage import leases
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import writing
from diffserver.storage.tables import Device, Tally
from diffserver.upkeep.tallies import LEASE, tally
from tests.server import factories
from tests.server.conftest import Service
from tests.server.rollouts.fleet import enrolled, look, publish_in_stages


def asked(service: Service, path: str) -> list[Any]:
    found: list[Any] = service.operator.get(path).json()["items"]
    return found


@pytest.fixture
def holder(engine: Engine) -> str:
    """Who counts in place of the server, which would do so at some moment after it starts."""
    assert leases.claim(engine, LEASE, "the test", seconds=3600)
    return "the test"


def test_devices_are_counted_once_an_hour_and_forgotten_in_the_end(holder: str, service: Service) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 4)
    now = utc_now()
    with writing(service.engine) as session:
        session.execute(update(Device).where(Device.id == devices[0].id).values(digest="00" * 32))
        session.execute(update(Device).where(Device.id == devices[1].id).values(left_at=now))
        session.add(
            Tally(model="speech", at=tallies.hour_of(now) - tallies.KEPT - timedelta(hours=1), number=0, devices=9)
        )
        session.add(Tally(model="speech", at=tallies.hour_of(now) - timedelta(days=2), number=0, devices=4))
    for who in (holder, holder, "another"):
        tally(service.engine, who)
    rows = asked(service, "/v1/models/speech/tallies?days=90")
    assert [(row["version"], row["devices"]) for row in rows] == [(0, 4), (None, 1), (1, 2)]
    assert [row["devices"] for row in asked(service, "/v1/models/speech/tallies?days=1")] == [1, 2]


def test_failures_are_told_by_kind(service: Service) -> None:
    service.publish_chain(1)
    devices, bad = enrolled(service, 3), factories.digest("v2")
    for device in devices[:2]:
        device.report("failed", to_digest=bad, failed_stage="apply", reason="no memory", cause="device")
    devices[0].report("failed", to_digest=bad, failed_stage="apply", reason="no memory", cause="device")
    devices[2].report("postponed", to_digest=bad, failed_stage="download", cause="network")
    assert asked(service, "/v1/models/speech/failures") == [
        {"stage": "failed", "at": "apply", "cause": "device", "reports": 3, "devices": 2},
        {"stage": "postponed", "at": "download", "cause": "network", "reports": 1, "devices": 1},
    ]


def test_what_the_gate_said_is_kept_where_it_is_new(service: Service) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 30)  # of few, chance may choose fewer than two
    rollout = publish_in_stages(service, 2, "50%,100%", evidence="failures", least=2)
    for _ in range(3):
        look(service)
    for device in devices:
        device.poll()
    look(service)
    said = asked(service, f"/v1/rollouts/{rollout}/looks")
    assert (said[0]["stage"], said[0]["finding"]) == ("50%", "inconclusive")
    assert len(said) == 2
    assert service.operator.get("/v1/rollouts/999/looks").status_code == 404


@pytest.mark.parametrize(
    ("search", "found"),
    [("kit", ["kitchen", "kit_1"]), ("kit_", ["kit_1"]), ("KIT", []), ("%", []), ("kitchen-2", []), ("hall", ["hall"])],
)
def test_devices_are_found_by_the_beginning_of_their_name_or_id(
    service: Service, search: str, found: list[str]
) -> None:
    service.publish_chain(0)
    for name in ("kitchen", "hall", "kit_1"):
        service.device(name)
    answer = service.operator.get("/v1/models/speech/devices", params={"search": search}).json()["items"]
    assert [device["name"] for device in answer] == found
    for device in answer:
        ids = service.operator.get("/v1/models/speech/devices", params={"search": device["id"]}).json()["items"]
        assert [other["id"] for other in ids] == [device["id"]]
