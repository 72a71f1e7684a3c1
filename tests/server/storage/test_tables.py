from sqlalchemy import Engine, inspect

from diffserver.storage.database import reading
from diffserver.storage.tables import Candidate, Version
from tests.server import factories
from tests.server.conftest import publish_chain, record


def test_payload_bytes_are_loaded_only_when_asked_for(engine: Engine) -> None:
    publish_chain(engine, 0)
    made = record(engine, factories.update("v0", "v1", 1))
    with reading(engine) as session:
        row = session.get_one(Candidate, made.id)
        assert "payload_data" in inspect(row).unloaded
        assert row.payload == made.payload
        assert row.snapshot == factories.blob("v1")


def test_a_version_knows_its_parent_and_its_errors(engine: Engine) -> None:
    first, second = publish_chain(engine, 1)
    assert (first.parent, second.parent) == (None, 0)
    with reading(engine) as session:
        row = session.get_one(Version, second.id)
    assert row.errors == {"base": {"errors": 12, "total": 400}}
    assert row.candidate.metric == factories.WER
    assert row.candidate.domains == ["base"]
