from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest
from sqlalchemy import Engine, func, select

from diffclient.release.manifest import from_json
from diffserver.catalog import versions
from diffserver.catalog.candidate import NewCandidate
from diffserver.catalog.training_request import TrainingSpec
from diffserver.errors import Conflict, DiffServerError, HeadMoved, NotFound, Refused
from diffserver.storage.column_types import Base
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Candidate, Channel, Payload, Step, Training, Version
from tests.server import factories
from tests.server.conftest import publish_chain, record, release


def count(engine: Engine, table: type[Base]) -> int:
    with reading(engine) as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def stable(engine: Engine) -> str | None:
    with reading(engine) as session:
        return session.get_one(Channel, ("speech", "stable")).digest


def test_a_base_brings_its_model_and_becomes_version_0(engine: Engine) -> None:
    record(engine, factories.base())
    assert stable(engine) is None
    with writing(engine) as session:
        version = versions.publish(session, 1, by="anna")
    assert (version.number, version.digest, version.forced) == (0, factories.digest("v0"), False)
    assert version.published_by == "anna"
    assert stable(engine) == version.digest
    assert (count(engine, Step), count(engine, Payload)) == (1, 0)


def test_an_update_is_a_step_from_its_parent_and_a_snapshot(engine: Engine) -> None:
    publish_chain(engine, 2)
    assert stable(engine) == factories.digest("v2")
    with reading(engine) as session:
        steps = session.scalars(select(Step).where(Step.to_digest == factories.digest("v2"))).all()
        diff, snapshot = (from_json(step.manifest) for step in steps)
        payload = session.get_one(Payload, diff.payload.sha256)
        assert len(payload.data) == payload.length == diff.payload.length
    assert (diff.kind, diff.from_digest, diff.from_version) == ("sparse", factories.digest("v1"), 1)
    assert snapshot == replace(diff, kind="snapshot", from_digest=None, from_version=None, payload=factories.blob("v2"))
    assert [step.length for step in steps] == [20_000, 1_000_000]


def test_head_and_lineage(engine: Engine) -> None:
    with reading(engine) as session:
        assert versions.head(session, "speech") is None
    chain = publish_chain(engine, 3)
    with reading(engine) as session:
        head = versions.head(session, "speech")
        assert head is not None
        assert head.number == 3
        assert [version.number for version in versions.lineage(session, chain[2])] == [0, 1, 2]


def move(engine: Engine, label: str) -> None:
    with writing(engine) as session:
        session.get_one(Channel, ("speech", "stable")).digest = factories.digest(label)


def test_a_recalled_version_is_no_ones_parent_and_its_number_is_taken(engine: Engine) -> None:
    publish_chain(engine, 3)
    move(engine, "v1")
    made = release(engine, factories.update("v1", "v4", 4, start=1))
    assert (made.number, made.parent) == (4, 1)
    with reading(engine) as session:
        head = versions.head(session, "speech")
        assert head is not None
        assert [version.number for version in versions.lineage(session, head)] == [0, 1, 4]


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (factories.update("v3", "v4", 4), "another version than the channel stable, which is at version 1"),
        (factories.update("v1", "again", 2), "the number of a version that was published since"),
        (factories.update("v1", "v3", 4, start=1), "diffserver recall speech"),
    ],
)
def test_what_cannot_follow_a_recall(engine: Engine, new: NewCandidate, reason: str) -> None:
    publish_chain(engine, 3)
    move(engine, "v1")
    candidate = record(engine, new)
    with pytest.raises(Conflict, match=reason), writing(engine) as session:
        versions.publish(session, candidate.id, force=True)


def test_the_full_chain_gives_the_latest_of_a_number_and_its_domains(engine: Engine) -> None:
    publish_chain(engine, 0)
    record(engine, factories.full("v0", "old", 1))
    latest = record(engine, factories.full("v0", "new", 1))
    record(engine, factories.update("v0", "v1", 1))
    record(engine, replace(factories.full("v0", "elsewhere", 1), domains=["base", "athletes"]))
    with reading(engine) as session:
        found = versions.full_chain(session, "speech", 1, ("base",))
        assert found is not None
        assert found.id == latest.id
        assert versions.full_chain(session, "speech", 1, ("athletes", "base")) is None
        assert versions.full_chain(session, "speech", 2, ("base",)) is None


def test_a_checkpoints_exact_candidate_is_found_by_the_request_that_it_came_of(engine: Engine) -> None:
    head = publish_chain(engine, 1)[-1]
    checkpoint = factories.digest("a checkpoint")
    older, latest, another = (
        record(engine, factories.update("v1", label, 2, method="exact")) for label in ("older", "latest", "another")
    )
    spec = TrainingSpec("update", "speech", "/data/speech", method="exact", checkpoint=checkpoint)
    sparse = record(engine, factories.update("v1", "sparse", 2))
    with writing(engine) as session:
        for candidate, made_of in (
            (older, checkpoint),
            (latest, checkpoint),
            (another, factories.digest("x")),
            (sparse, checkpoint),
        ):
            row = asdict(replace(spec, checkpoint=made_of))
            session.add(Training(model="speech", spec=row, candidate_id=candidate.id, state="done"))
    with reading(engine) as session:
        found = versions.exact_of(session, head, checkpoint, ("base",))
        assert found is not None
        assert found.id == latest.id
        assert versions.exact_of(session, head, checkpoint, ("base", "athletes")) is None
        assert versions.exact_of(session, head, factories.digest("y"), ("base",)) is None


def test_a_version_that_is_delivered_whole_has_one_step_and_a_parent(engine: Engine) -> None:
    publish_chain(engine, 1)
    whole, late = (record(engine, factories.whole("v1", label, 2)) for label in ("whole", "late"))
    with writing(engine) as session:
        versions.publish(session, whole.id)
    with reading(engine) as session:
        steps = session.scalars(select(Step).where(Step.to_digest == whole.digest)).all()
        assert [(step.from_digest, step.length) for step in steps] == [(None, whole.snapshot.length)]
    with writing(engine) as session, pytest.raises(HeadMoved):
        versions.publish(session, late.id)


def test_the_fully_retrained_model_made_beside_a_candidate_is_recorded_before_it(engine: Engine) -> None:
    publish_chain(engine, 0)
    beside = factories.full("v0", "full", 1)
    tried = [{"method": "sparse", "chosen": True}]
    made = record(engine, factories.update("v0", "v1", 1, reference=beside, tried=tried, data_sha256="ab" * 32))
    with reading(engine) as session:
        found = versions.full_chain(session, "speech", 1, ("base",))
        assert found is not None
        assert (found.id, found.digest, found.state) == (made.id - 1, beside.digest, "open")
        assert (found.tried, found.data_sha256) == ([], None)
        kept = session.get_one(Candidate, made.id)
        assert (kept.tried, kept.data_sha256) == (tried, "ab" * 32)


def test_a_payload_is_not_there_before_it_is_published(engine: Engine) -> None:
    publish_chain(engine, 0)
    candidate = record(engine, factories.update("v0", "v1", 1))
    assert count(engine, Payload) == 0
    with writing(engine) as session:
        versions.publish(session, candidate.id)
    with reading(engine) as session:
        row = session.get_one(Candidate, candidate.id)
        assert (row.state, row.payload_data, row.payload) == ("published", None, candidate.payload)
    assert count(engine, Payload) == 1


def test_publishing_is_all_or_nothing(engine: Engine) -> None:
    publish_chain(engine, 0)
    candidate = record(engine, factories.update("v0", "v1", 1))

    def interrupted() -> None:
        with writing(engine) as session:
            versions.publish(session, candidate.id)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (count(engine, Version), count(engine, Payload), count(engine, Step)) == (1, 0, 1)
    assert stable(engine) == factories.digest("v0")
    with writing(engine) as session:
        assert versions.publish(session, candidate.id).number == 1


def test_a_refused_candidate_shows_why_and_can_be_forced(engine: Engine) -> None:
    publish_chain(engine, 0)
    refusals = ["2.4 % is over the budget of 2 %"]
    candidate = record(engine, factories.update("v0", "v1", 1, refusals=refusals))
    with pytest.raises(Refused) as caught, writing(engine) as session:
        versions.publish(session, candidate.id)
    shown = {"refusals": refusals, "evaluation": factories.EVALUATION, "metric": asdict(factories.WER)}
    assert caught.value.members() == shown
    with writing(engine) as session:
        version = versions.publish(session, candidate.id, force=True, by="anna")
    assert (version.forced, version.published_by) == (True, "anna")


def test_force_without_refusals_is_not_recorded_as_such(engine: Engine) -> None:
    assert release(engine, factories.base(), force=True).forced is False


def test_what_can_never_be_published(engine: Engine) -> None:
    publish_chain(engine, 1)
    for new, reason in [
        (factories.full("v1", "full", 2), "for comparison only"),
        (factories.update("v0", "other", 1), "another version than the channel stable, which is at version 1"),
        (factories.update("v1", "v0", 2), "the very weights of an earlier version"),
        (factories.base(label="another base"), "another version than the channel stable"),
    ]:
        candidate = record(engine, new)
        with pytest.raises(Conflict, match=reason), writing(engine) as session:
            versions.publish(session, candidate.id, force=True)
    with pytest.raises(Conflict, match="published already"), writing(engine) as session:
        versions.publish(session, 1)
    with pytest.raises(NotFound, match="no candidate 99"), writing(engine) as session:
        versions.publish(session, 99)
    assert count(engine, Version) == 2


def test_two_models_may_share_bytes(engine: Engine) -> None:
    for model in ("speech", "speech-two"):
        release(engine, factories.base(model))
        release(engine, factories.update("v0", "v1", 1, model))
    assert (count(engine, Version), count(engine, Payload)) == (4, 1)


def test_an_update_for_no_model_is_refused(engine: Engine) -> None:
    with pytest.raises(NotFound, match="no model 'speech'"):
        record(engine, factories.update("v0", "v1", 1))


def test_a_model_keeps_its_task(engine: Engine) -> None:
    record(engine, factories.base())
    with pytest.raises(Conflict, match="of task asr, not vision"):
        record(engine, factories.base(task="vision"))


@pytest.mark.parametrize("same_candidate", [True, False])
def test_of_publishes_that_meet_exactly_one_wins(engine: Engine, same_candidate: bool) -> None:
    publish_chain(engine, 0)
    made = [record(engine, factories.update("v0", f"v1-{n}", 1)).id for n in range(4)]
    ids = made[:1] * 4 if same_candidate else made

    def publish(candidate_id: int) -> Version | DiffServerError:
        try:
            with writing(engine) as session:
                return versions.publish(session, candidate_id)
        except Conflict as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(publish, ids))
    won = [result for result in results if isinstance(result, Version)]
    lost = [result for result in results if not isinstance(result, Version)]
    assert len(won) == 1
    assert all("published already" in str(error) if same_candidate else isinstance(error, HeadMoved) for error in lost)
    assert (count(engine, Version), stable(engine)) == (2, won[0].digest)


def test_models_that_are_opened_together_are_one(engine: Engine) -> None:
    def open_model(_number: int) -> str:
        with writing(engine) as session:
            return versions.open_model(session, "speech", "asr").name

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(open_model, range(4))) == {"speech"}
    assert stable(engine) is None
