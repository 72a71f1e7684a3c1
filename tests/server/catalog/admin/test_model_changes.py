"""Models and candidates that no one wants: what goes, and what may not."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, func, select

from diffserver.catalog import channels, devices, training_queue, versions
from diffserver.catalog.admin import device_changes, model_changes
from diffserver.catalog.training_request import TrainingSpec
from diffserver.errors import Conflict, NotFound
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import METADATA
from tests.server import factories
from tests.server.conftest import publish_chain, record


@pytest.fixture
def unpublished(engine: Engine) -> str:
    """A model with a candidate that no one published."""
    return record(engine, factories.base()).model


def rows(engine: Engine) -> int:
    with reading(engine) as session:
        kept = [table for name, table in METADATA.tables.items() if name != "changes"]  # news, which ends by itself
        return sum(session.scalar(select(func.count()).select_from(table)) or 0 for table in kept)


def refused(engine: Engine, model: str, why: str) -> None:
    with writing(engine) as session, pytest.raises(Conflict, match=why):
        model_changes.delete_model(session, model)


def test_a_model_goes_with_all_that_is_its_own(engine: Engine, unpublished: str) -> None:
    with writing(engine) as session:
        device, _ = devices.enroll(session, unpublished, "kitchen", "stable", {"region": "eu"})
        device_changes.decommission(session, device)
        training_queue.cancel(session, training_queue.submit(session, TrainingSpec("base", unpublished, "/data")).id)
    with writing(engine) as session:
        model_changes.delete_model(session, unpublished)
    assert rows(engine) == 0
    with reading(engine) as session, pytest.raises(NotFound):
        versions.find_model(session, unpublished)


def test_a_model_with_versions_stays(engine: Engine) -> None:
    publish_chain(engine, 0)
    refused(engine, "speech", r"devices may have versions of model speech.*model archive speech")


def test_a_model_with_devices_stays(engine: Engine, unpublished: str) -> None:
    with writing(engine) as session:
        devices.enroll(session, unpublished, "kitchen", "stable")
    refused(engine, unpublished, "devices are enrolled for model speech")


def test_a_model_in_training_stays(engine: Engine, unpublished: str) -> None:
    with writing(engine) as session:
        training = training_queue.submit(session, TrainingSpec("base", unpublished, "/data")).id
    refused(engine, unpublished, f"training {training} of model speech is under way.*diffserver cancel {training}")


def test_a_candidate_goes_and_a_published_one_stays(engine: Engine) -> None:
    publish_chain(engine, 0)
    candidate = record(engine, factories.update("v0", "v1", 1, shortcuts=[factories.shortcut("v0", 0)]))
    before = rows(engine)
    with writing(engine) as session:
        assert model_changes.delete_candidate(session, candidate.id).id == candidate.id
        with pytest.raises(NotFound):
            model_changes.delete_candidate(session, candidate.id)
        published = versions.newest(session, "speech")
        assert published is not None
        with pytest.raises(Conflict, match=r"is published, and devices may have it.*diffserver recall speech"):
            model_changes.delete_candidate(session, published.candidate_id)
    assert rows(engine) == before - 2, "the candidate and its short cut"


def test_an_archived_model_comes_back(engine: Engine) -> None:
    publish_chain(engine, 0)
    with writing(engine) as session:
        first = model_changes.archive(session, "speech", True).archived_at
        assert first is not None
        assert model_changes.archive(session, "speech", True).archived_at == first
        assert model_changes.archive(session, "speech", False).archived_at is None
        assert [row.channel.name for row in channels.standings(session, "speech")] == ["stable"]
