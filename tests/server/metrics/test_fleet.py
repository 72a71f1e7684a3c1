"""Figures of the database: of devices, rollouts, trainings, metadata and events, and that they stay cheap."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine, event

from diffserver.metrics.fleet import FleetFigures
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import writing
from diffserver.storage.tables import Device
from tests.server.conftest import Service
from tests.server.rollouts.fleet import enrolled, publish_in_stages

HOUR = timedelta(hours=1)


def figures(engine: Engine) -> dict[str, dict[tuple[str, ...], float]]:
    """All values, by family and labels."""
    return {
        family.name.removeprefix("diffserver_"): {
            tuple(sample.labels.values()): sample.value for sample in family.samples
        }
        for family in FleetFigures(engine, HOUR).collect()
    }


def test_devices_are_counted_by_version_and_by_what_is_amiss(service: Service) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 6)
    with writing(service.engine) as session:
        at_zero = session.get_one(Device, devices[0].id)
        at_zero.digest = at_zero.previous
        session.get_one(Device, devices[1].id).digest = "f" * 64
        session.get_one(Device, devices[2].id).left_at = utc_now()
        silent = session.get_one(Device, devices[3].id)
        silent.stage, silent.last_seen = "download", utc_now() - 2 * HOUR
        session.get_one(Device, devices[4].id).stage = "download"
    for _ in range(2):
        devices[5].report("failed", to_digest=devices[5].holds, cause="device", reason="no room")
    found = figures(service.engine)
    of = ("speech", "stable")
    assert found["devices"] == {(*of, "none"): 1, (*of, "unknown"): 1, (*of, "1"): 3}
    assert (found["devices_behind"], found["devices_stuck"], found["devices_failed"]) == ({of: 2}, {of: 1}, {of: 1})


def test_devices_that_a_rollout_has_reached_are_not_behind(service: Service) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 4)
    publish_in_stages(service, 2, "50%,100%")
    for device in devices:
        device.poll()
    found = figures(service.engine)
    assert found["devices_behind"] == {("speech", "stable"): 0}
    assert found["rollouts"] == {("running",): 1}
    assert found["rollout_stage"] == {("speech", "stable", "running"): 1}
    assert found["events"] == {("waiting",): 1, ("given up",): 0}


def test_signed_metadata_counts_down(service: Service) -> None:
    service.publish_chain(0)
    expiry = figures(service.engine)["metadata_expires_seconds"]
    assert {"root", "targets", "snapshot", "timestamp"} <= {role for (role,) in expiry}
    assert 0 < expiry["timestamp",] < expiry["root",]


def test_trainings_and_workers(service: Service) -> None:
    service.publish_chain(0)
    service.operator.post("/v1/trainings", json={"kind": "update", "model": "speech", "data": "/data"})
    found = figures(service.engine)
    assert (found["trainings_waiting"], found["workers"]) == ({(): 1}, {("busy",): 0, ("idle",): 0})


def test_scrapes_in_a_row_ask_the_database_once(engine: Engine) -> None:
    queries: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: queries.append(arguments[2]))
    collector = FleetFigures(engine, HOUR)
    list(collector.collect())
    asked = len(queries)
    assert 0 < asked < 20
    list(collector.collect())
    assert len(queries) == asked
