from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from diffclient.network.holding import Holding
from diffserver.catalog.devices import Seen
from diffserver.polls.notes import Notes
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import connect
from diffserver.storage.tables import Device
from tests.server import factories
from tests.server.catalog.test_devices import enroll, remember, seen
from tests.server.conftest import publish_chain

MOMENT = utc_now() + timedelta(hours=1)


@pytest.fixture
def device(engine: Engine) -> Device:
    publish_chain(engine, 1)
    device = enroll(engine)
    remember(engine, device, "v1")
    return seen(engine, device)


def note(device: Device, moment: datetime = MOMENT, label: str = "v1", boot: str | None = None) -> Seen:
    return Seen(device.id, moment, Holding(factories.digest(label)), "one", boot)


def noted(engine: Engine, device: Device, *notes: Seen) -> Device:
    found = Notes(engine)
    for one in notes:
        found.add(one)
    found.write()
    return seen(engine, device)


def test_when_a_device_was_seen_is_written_with_what_it_said(engine: Engine, device: Device) -> None:
    after = noted(engine, device, note(device, label="v0"))
    assert (after.last_seen, after.digest) == (MOMENT, factories.digest("v0"))


@pytest.mark.parametrize("what", ["it was heard since", "another machine has its identity"])
def test_a_note_that_was_overtaken_changes_nothing(engine: Engine, device: Device, what: str) -> None:
    late = MOMENT - timedelta(days=1) if what == "it was heard since" else MOMENT
    after = noted(engine, device, note(device, late, "v0", None if what == "it was heard since" else "b"))
    assert (after.last_seen, after.digest) == (device.last_seen, factories.digest("v1"))


def test_a_device_is_noted_once_a_minute(engine: Engine, device: Device) -> None:
    now = 0.0
    notes = Notes(engine, lambda: now)
    notes.add(note(device))
    notes.write()
    assert not notes.lacks(device.id)
    now = 61.0
    notes.write()
    assert notes.lacks(device.id)


def test_what_cannot_be_written_waits(engine: Engine, device: Device) -> None:
    notes = Notes(connect("sqlite:////nowhere/to/be/found.db"))
    notes.add(note(device))
    with pytest.raises(SQLAlchemyError):
        notes.write()
    notes._engine = engine
    notes.write()
    assert seen(engine, device).last_seen == MOMENT
