"""What became of a version, counted by a query, against a count device by device."""

import random
from collections import Counter

from sqlalchemy import select

from diffserver.rollouts.evidence import TRIED, tried
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Device, Report, Rollout
from tests.server import factories
from tests.server.conftest import Service
from tests.server.rollouts.fleet import enrolled, publish_in_stages

STAGES = (*TRIED, "postponed", "field")


def test_a_query_counts_as_one_does_by_hand(service: Service) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 6)
    number = publish_in_stages(service, 2, "50%,100%")
    digests, chance = [factories.digest(label) for label in ("v0", "v1", "v2")], random.Random(7)
    with writing(service.engine) as session:
        for _ in range(60):
            stage, (before, after) = chance.choice(STAGES), chance.choices(digests, k=2)
            cause = chance.choice(("device", "version")) if stage == "failed" else None
            who = {"device_id": chance.choice(devices).id, "downloaded_bytes": 0}
            session.add(Report(stage=stage, from_digest=before, to_digest=after, cause=cause, **who))
            session.flush()
        session.get_one(Device, devices[0].id).left_at = session.get_one(Device, devices[0].id).enrolled_at
    with reading(service.engine) as session:
        rollout = session.get_one(Rollout, number)
        last = {
            report.device_id: (report.stage, report.cause)
            for report in session.scalars(select(Report).order_by(Report.id))
            if report.stage in TRIED
            and report.created_at >= (rollout.started_at or rollout.created_at)
            and (
                report.to_digest == rollout.to_digest
                or (report.stage == "rolled_back" and report.from_digest == rollout.to_digest)
            )
        }
        expected = Counter(what for device, what in last.items() if device != devices[0].id)
        assert {(one.stage, one.cause): one.devices for one in tried(session, rollout)} == dict(expected)
        assert len(expected) > 1
