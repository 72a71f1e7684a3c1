from diffserver.rollouts.ledger import ledger
from diffserver.storage.database import reading
from tests.server import factories
from tests.server.conftest import Service
from tests.server.rollouts.fleet import enrolled


def test_what_devices_fetched_stands_against_a_snapshot_for_each(service: Service) -> None:
    _, one = service.publish_chain(1)
    first, second = enrolled(service, 2)
    to = {"to_digest": factories.digest("v1")}
    first.report("failed", downloaded_bytes=30, cause="network", **to)
    first.report("installed", downloaded_bytes=100, **to)
    second.report("installed", downloaded_bytes=200, **to)
    second.report("installed", downloaded_bytes=0, **to)
    second.count(1, 10)
    with reading(service.engine) as session:
        book = ledger(session, "speech")
        assert ledger(session, "other").versions == []
    (entry,) = book.versions
    assert (entry.number, entry.devices, entry.fetched) == (1, 2, 330)
    assert entry.snapshots == 2 * one.candidate.snapshot.length
    assert entry.metadata == 2 * (one.metadata_bytes or 0) > 0
    assert (book.fetched, book.metadata, book.snapshots) == (entry.fetched, entry.metadata, entry.snapshots)
