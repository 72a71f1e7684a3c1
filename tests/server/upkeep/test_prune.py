"""What is planned goes, on both databases, unless it changed before it was removed."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from diffserver.catalog import audit, devices, training_queue
from diffserver.catalog.jobs import saved_states
from diffserver.catalog.training_request import TrainingSpec
from diffserver.events.outbox import new_event
from diffserver.settings import Retention
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import (
    Attribute,
    Audit,
    Candidate,
    Channel,
    Device,
    Event,
    Report,
    Rollout,
    Shortcut,
    Token,
    Training,
)
from diffserver.trust import releases
from diffserver.upkeep.prune import Plan, carry_out, plan
from tests.server import factories
from tests.server.conftest import Service, record

KEEP = Retention()
LATER = timedelta(days=1000)
"""After so long all is old."""


@pytest.fixture
def filled(service: Service) -> Service:
    """Version 0, a candidate of a training, and a device with a token and reports."""
    service.publish_chain(0)
    cut = factories.shortcut("v0", 0)
    candidate = record(service.engine, factories.update("v0", "v1", 1, shortcuts=[cut]))
    with writing(service.engine) as session:
        training = training_queue.submit(session, TrainingSpec("update", "speech", "/data"))
        training_queue.cancel(session, training.id)
        training.candidate_id = candidate.id
        device, _ = devices.enroll(session, "speech", "kitchen", "stable", {"region": "eu"})
        audit.record(session, audit.Actor("anna@desk", audit.HOST), "device.enroll", "speech")
        session.add(new_event("rollout.paused", {}, 1))
        for _ in range(1200):
            session.add(Report(device_id=device.id, stage="failed", reason="why", downloaded_bytes=0))
    return service


def planned(service: Service, keep: Retention = KEEP) -> Plan:
    return plan(service.engine, service.objects, keep, utc_now() + LATER)


def rows(service: Service) -> dict[str, int]:
    tables = (Report, Device, Attribute, Token, Training, Candidate, Shortcut, Audit, Event)
    with reading(service.engine) as session:
        return {table.__tablename__: len(session.scalars(select(table)).all()) for table in tables}


def test_all_that_is_old_goes_in_batches(filled: Service) -> None:
    before = rows(filled)
    found = planned(filled)
    assert {name: number for name, (number, _) in found.counts().items()} == {
        "reports": 1199,
        "devices": 1,
        "tokens": 0,
        "trainings": 1,
        "candidates": 1,
        "audit": 1,
        "events": 1,
        "objects": 0,
        "unfinished files": 0,
    }
    assert found.counts()["candidates"][1] == 20_000 + len(b"merged")
    carry_out(filled.engine, filled.objects, found)
    left = {"reports": 0, "devices": 0, "device_attributes": 0, "trainings": 0, "candidates": 1, "shortcuts": 0}
    left |= {"audit": 0, "events": 0}
    assert rows(filled) == left | {"tokens": before["tokens"] - 1}


def test_a_candidate_goes_before_the_training_that_made_it(filled: Service) -> None:
    carry_out(filled.engine, filled.objects, planned(filled, Retention(trainings=9999)))
    with reading(filled.engine) as session:
        (training,) = session.scalars(select(Training)).all()
    assert (training.state, training.candidate_id) == ("cancelled", None)


def test_what_any_channel_or_rollout_may_go_on_from_stays(service: Service) -> None:
    versions = service.publish_chain(4)
    full = {
        number: record(service.engine, factories.full(f"v{number - 1}", f"f{number}", number)).id
        for number in (1, 2, 3)
    }

    def stand(stable: int, beta: int) -> set[int]:
        with writing(service.engine) as session:
            for name, number in (("stable", stable), ("beta", beta)):
                session.merge(Channel(model="speech", name=name, digest=versions[number].digest))
        return {int(row.id) for row in planned(service).candidates}

    assert stand(stable=4, beta=2) == {full[1]}
    assert stand(stable=2, beta=4) == {full[1]}
    assert stand(stable=4, beta=4) == set(full.values())
    with writing(service.engine) as session:
        ends = {"from_digest": versions[4].digest, "to_digest": versions[3].digest}
        about = {"model": "speech", "channel": "beta", "state": "paused", "created_by": "anna"}
        session.add(Rollout(**about, **ends, stages=["100%"], terms={}))
    assert stand(stable=4, beta=4) == {full[1], full[2]}


def test_a_device_that_was_seen_meanwhile_stays_with_its_token(filled: Service) -> None:
    found = planned(filled)
    with writing(filled.engine) as session:
        session.execute(update(Device).values(last_seen=utc_now()))
    before = rows(filled)
    carry_out(filled.engine, filled.objects, found)
    assert rows(filled) | {"reports": 1} == {
        "reports": 1, "devices": 1, "device_attributes": 1, "tokens": before["tokens"], "trainings": 0,
        "candidates": 1, "shortcuts": 0, "audit": 0, "events": 0,
    }  # fmt: skip


def test_a_candidate_that_was_published_meanwhile_stays_whole(filled: Service) -> None:
    found = planned(filled)
    with writing(filled.engine) as session:
        version = releases.publish(session, filled.keyring, int(found.candidates[0].id))
    carry_out(filled.engine, filled.objects, found)
    with reading(filled.engine) as session:
        assert session.get_one(Candidate, version.candidate_id).state == "published"
    assert filled.public.get(f"/v1/blobs/{version.candidate.payload_sha256}").status_code == 200


@pytest.mark.parametrize("objects_url", ["file", "s3"], indirect=True)
def test_an_object_that_was_named_or_stored_meanwhile_stays(filled: Service) -> None:
    young, named, gone = (filled.objects.put(name).sha256 for name in (b"young", b"named", b"gone"))
    found = planned(filled, Retention(trainings=9999))
    assert {one.sha256 for one in found.objects} == {young, named, gone}
    time.sleep(1.1)  # S3 tells whole seconds
    filled.objects.put(b"young")
    with writing(filled.engine) as session:
        training_queue.submit(session, TrainingSpec("update", "speech", "/data", checkpoint=named))
    carry_out(filled.engine, filled.objects, found)
    assert [filled.objects.exists(sha256) for sha256 in (young, named, gone)] == [True, True, False]


def test_states_that_a_training_may_go_on_from_stay_and_those_of_ended_ones_go(service: Service) -> None:
    service.publish_chain(0)
    with writing(service.engine) as session:
        wanted = TrainingSpec("update", "speech", "/data")
        waiting, ended = (training_queue.submit(session, wanted).id for _ in range(2))
    states = {number: service.objects.put(f"state of {number}".encode()) for number in (waiting, ended)}
    for number, blob in states.items():
        assert training_queue.claim(service.engine, "w", 60)
        saved_states.replace(service.engine, number, "w", "1-sparse", 5, blob)
    with writing(service.engine) as session:
        training_queue.cancel(session, ended)
    found = planned(service)
    assert states[ended].sha256 in {item.sha256 for item in found.objects}
    carry_out(service.engine, service.objects, found)
    assert [service.objects.exists(states[number].sha256) for number in (waiting, ended)] == [True, False]
