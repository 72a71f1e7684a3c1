"""What admins do to devices, as rows."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from diffserver.catalog import devices, tokens
from diffserver.catalog.admin import device_changes
from diffserver.errors import Conflict, Invalid, NotFound
from diffserver.storage.database import writing
from tests.server.conftest import publish_chain


@pytest.fixture
def device(engine: Engine) -> str:
    publish_chain(engine, 0)
    with writing(engine) as session:
        return devices.enroll(session, "speech", "kitchen", "stable", {"region": "eu"})[0].id


def described(engine: Engine, device: str, **changed: str | None) -> dict[str, str]:
    with writing(engine) as session:
        row = device_changes.change(session, device, attributes=changed)
        return {attribute.name: attribute.value for attribute in row.attributes}


def test_attributes_are_set_replaced_and_removed(engine: Engine, device: str) -> None:
    assert described(engine, device, group="pilots") == {"region": "eu", "group": "pilots"}
    assert described(engine, device, region="us", group=None, never=None) == {"region": "us"}


def test_as_many_attributes_as_a_device_may_have(engine: Engine, device: str) -> None:
    most = {f"a{number}": "x" for number in range(devices.MOST_ATTRIBUTES)}
    with pytest.raises(Invalid, match="at most 20 attributes"):
        described(engine, device, **most)
    assert len(described(engine, device, region=None, **most)) == devices.MOST_ATTRIBUTES


def test_a_device_leaves_once_with_its_tokens(engine: Engine, device: str) -> None:
    with writing(engine) as session:
        row = devices.find(session, device)
        assert device_changes.decommission(session, row)
        left = row.left_at
        assert left is not None
        assert not device_changes.decommission(session, row)
        assert row.left_at == left
        assert [token.revoked_at is not None for token in tokens.of_device(session, device)] == [True]
        with pytest.raises(Conflict, match="was taken out of service"):
            device_changes.change(session, device, name="hall")


def test_a_device_that_is_not_there(engine: Engine) -> None:
    with writing(engine) as session, pytest.raises(NotFound, match=r"no device 0.*diffserver devices"):
        device_changes.change(session, "0" * 24, name="hall")
