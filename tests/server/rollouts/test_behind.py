from datetime import timedelta

import pytest
from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.orm import Session

from diffserver.rollouts import behind as lag
from diffserver.rollouts.answer import attributes
from diffserver.rollouts.plan import PLACES, place
from diffserver.rollouts.target import Target, course
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing
from diffserver.storage.functions import LeadingBits
from diffserver.storage.tables import Channel, Device, Rollout
from tests.server import factories
from tests.server.conftest import Service
from tests.server.rollouts.fleet import enrolled, publish_in_stages

HOUR = timedelta(hours=1)


def chosen(session: Session, condition: ColumnElement[bool]) -> set[str]:
    return set(session.scalars(select(Device.id).where(condition)))


def by_target(session: Session) -> set[str]:
    """Those behind, asked one by one."""
    wanted = {device: target(session, device) for device in session.scalars(select(Device)).all()}
    return {device.id for device, shall in wanted.items() if shall and shall.digest != device.digest}


def target(session: Session, device: Device) -> Target | None:
    way = course(session, device.model, device.channel)
    return (
        None if way is None else way.target(device.id, lambda: attributes(session, device.id), device.digest, utc_now())
    )


def test_a_place_is_the_same_in_a_query(service: Service) -> None:
    service.publish_chain(0)
    ids = {device.id for device in enrolled(service, 5)}
    with reading(service.engine) as session:
        found = dict(session.execute(select(Device.id, LeadingBits("7/" + Device.id))).all())
    assert found == {device: place(7, device) for device in ids}


@pytest.mark.parametrize(
    ("stages", "then", "count"),
    [
        ("50%,100%", "", None),
        ("50%,100%", "only", None),
        ("100%", "only", 1),
        ("3,100%", "", 3),
        ("group=pilots,100%", "", 1),
        ("3,100%", "pause", 0),
        ("3,100%", "approve", 8),
        ("3,100%", "abort", 0),
    ],
)
def test_who_is_behind_is_as_each_ones_target_says(service: Service, stages: str, then: str, count: int | None) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 8)
    service.operator.patch(f"/v1/devices/{devices[0].id}", json={"attributes": {"group": "pilots"}})
    rollout = publish_in_stages(service, 2, stages, only=["group=pilots"] if then == "only" else [])
    if then not in ("", "only"):
        assert service.operator.post(f"/v1/rollouts/{rollout}/{then}", json={}).status_code == 200
    with reading(service.engine) as session:
        found = chosen(session, lag.behind(session, "speech"))
        assert found == by_target(session)
    assert count is None or len(found) == count
    for device in devices:
        device.poll()
    with reading(service.engine) as session:
        assert chosen(session, lag.behind(session, "speech")) == set()


def test_a_device_that_left_or_runs_nothing(service: Service) -> None:
    service.publish_chain(1)
    gone, new = enrolled(service, 2)
    service.operator.delete(f"/v1/devices/{gone.id}")
    with writing(service.engine) as session:
        session.execute(update(Device).values(digest=None))
    with reading(service.engine) as session:
        assert chosen(session, lag.behind(session, "speech")) == {new.id}


def test_stuck_is_silent_in_an_update_or_behind_for_a_week(service: Service) -> None:
    service.publish_chain(1)
    silent, late, fresh, fine = enrolled(service, 4)
    old, now = utc_now() - 2 * lag.LATE, utc_now()
    with writing(service.engine) as session:
        session.execute(update(Channel).values(moved_at=old))
        for device, values in (
            (silent, {"stage": "download", "last_seen": now - 2 * HOUR}),
            (late, {"digest": factories.digest("v0"), "enrolled_at": old}),
            (fresh, {"digest": factories.digest("v0")}),
            (fine, {"stage": "download", "enrolled_at": old}),
        ):
            session.execute(update(Device).where(Device.id == device.id).values(**values))
    with reading(service.engine) as session:
        assert chosen(session, lag.stuck(session, "speech", now, HOUR)) == {silent.id, late.id}
        assert chosen(session, lag.behind(session, "speech")) == {late.id, fresh.id}
    with writing(service.engine) as session:
        channel = session.get_one(Channel, ("speech", "stable"))
        channel.digest = factories.digest("v1")
        session.flush()
        assert chosen(session, lag.stuck(session, "speech", now, HOUR)) == {silent.id}


@pytest.mark.parametrize("stood", [True, False])
@pytest.mark.parametrize("moved", [True, False])
def test_stuck_in_a_rollout_is_who_it_came_to_long_ago(service: Service, stood: bool, moved: bool) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 24)
    rollout = publish_in_stages(service, 2, "50%,100%")
    old, new, now = utc_now() - 2 * lag.LATE, utc_now(), utc_now()
    held = [factories.digest(label) for label in ("v0", "v1", "v2")]
    with writing(service.engine) as session:
        session.execute(update(Channel).values(moved_at=old if stood else new))
        session.execute(update(Rollout).values(stage_at=old if moved else new))
        for index, device in enumerate(devices):
            values = {"enrolled_at": old, "digest": held[index % 3], "stage": None}
            session.execute(update(Device).where(Device.id == device.id).values(**values))
    with reading(service.engine) as session:
        away = by_target(session)
        come = {device.id for device in devices if place(rollout, device.id) < PLACES // 2}
        expected = {device for device in away if (moved if device in come else stood)}
        assert chosen(session, lag.stuck(session, "speech", now, HOUR)) == expected


def test_counts_of_the_few_read_an_index_of_the_few(service: Service) -> None:
    service.publish_chain(1)
    if service.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL decides by its statistics")
    with reading(service.engine) as session:
        for what, index in (("failed", "ix_devices_failed"), ("stuck", "ix_devices_updating")):
            condition = lag.amiss(session, "speech", utc_now(), HOUR)[what]
            query = select(func.count()).select_from(Device).where(condition)
            told = query.compile(session.connection(), compile_kwargs={"literal_binds": True})
            plan = [row.detail for row in session.execute(text(f"EXPLAIN QUERY PLAN {told}"))]
            assert index in " ".join(plan), what


def test_failed_is_what_the_last_report_of_an_update_says(service: Service) -> None:
    service.publish_chain(1)
    failing, mended, _other = enrolled(service, 3)
    for device in (failing, mended):
        device.report("failed", to_digest=factories.digest("v1"), failed_stage="digest", cause="version")
    mended.report("installed", to_digest=factories.digest("v1"))
    failing.count(1, 10)
    with reading(service.engine) as session:
        assert chosen(session, lag.failed("speech")) == {failing.id}
    answer = service.operator.get("/v1/models/speech/devices?failed=true&channel=stable").json()
    assert [item["id"] for item in answer["items"]] == [failing.id]
    assert service.operator.get("/v1/models/speech/devices?failed=true&behind=true").json()["items"] == []
