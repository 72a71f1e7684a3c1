"""Short cuts: a device that is versions behind is offered one merged step, and arrives where the chain leads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Engine, func, select

from diffclient.diff.apply import apply
from diffclient.diff.merge import merge
from diffclient.diff.streams import Diff
from diffclient.payload.decode import open_payload
from diffclient.payload.encode import encode
from diffclient.release.manifest import Blob, Manifest, from_json
from diffclient.release.target_custom import name_of
from diffclient.tensors.snapshot import Snapshot
from diffserver.catalog import versions
from diffserver.catalog.candidate import NewCandidate, NewShortcut
from diffserver.catalog.training_request import TrainingSpec
from diffserver.pipeline import merged_diffs
from diffserver.pipeline.job_context import Work
from diffserver.pipeline.parent_version import load_parent
from diffserver.storage.database import reading, writing
from diffserver.storage.object_store import Objects
from diffserver.storage.tables import Payload, Shortcut, Step
from diffserver.tasks import Task
from diffserver.training.new_version import NewVersion
from tests.factories import Version, hashed_diff, outgrowing_diff, sparse_diff, write_version
from tests.server import factories
from tests.server.conftest import Service, record, release

SHAPES = {"layer.weight": (60, 50), "layer.bias": (60,)}
SPEC = TrainingSpec("update", "speech", "/data/speech")
NO_TASK = cast(Task, None)  # making short cuts asks for none


@dataclass
class Line:
    """Versions of real weights on a server, each published with its short cuts."""

    engine: Engine
    objects: Objects
    folder: Path
    versions: list[Version] = field(default_factory=list)
    diffs: list[Diff] = field(default_factory=list)

    def __post_init__(self) -> None:
        first = write_version(self.folder / "0", shapes=SHAPES)
        self.versions.append(first)
        whole = self.objects.put(first.snapshot.path)
        manifest = self._manifest(factories.base(), 0, payload=whole)
        release(self.engine, factories.base(digest=first.digest, snapshot=whole, manifest=manifest))

    def grow(self, *diffs: Diff) -> None:
        """Publish a version for each diff."""
        for diff in diffs:
            release(self.engine, self.candidate(diff))

    def sparse(self, count: int) -> list[Diff]:
        """Random diffs of 3 % of the weights, never the same ones."""
        first = len(self.diffs) + 1
        return [sparse_diff(self.versions[-1].table, seed, 0.03, step=640) for seed in range(first, first + count)]

    def candidate(self, diff: Diff) -> NewCandidate:
        """What a worker would hand over."""
        before, number = self.versions[-1], len(self.versions)
        data = encode(diff, before.table, before.digest)
        weights = self.folder / str(number)
        digest = apply(before.snapshot, [open_payload(data, before.table, before.digest)], weights)
        shortcuts = self._shortcuts(NewVersion(weights, digest, before.table, diff.kind, data))
        self.versions.append(Version(Snapshot(weights), digest))
        self.diffs.append(diff)
        blob = Blob(hashlib.sha256(data).hexdigest(), len(data))
        plain = factories.update("before", "after", number)
        manifest = self._manifest(plain, number, kind=diff.kind, from_digest=before.digest, payload=blob)
        return replace(
            plain,
            digest=digest,
            parent_digest=before.digest,
            payload=data,
            snapshot=self.objects.put(weights),
            manifest=manifest,
            shortcuts=shortcuts,
        )

    def _shortcuts(self, version: NewVersion) -> tuple[NewShortcut, ...]:
        scratch = self.folder / f"scratch-{len(self.versions)}"
        scratch.mkdir()
        work = Work(SPEC, NO_TASK, self.objects, scratch, lambda done, message: True)
        return merged_diffs.make(work, self.engine, load_parent(SPEC, self.engine, self.objects, scratch), version)

    def _manifest(self, like: NewCandidate, number: int, **changes: Any) -> Mapping[str, Any]:
        manifest = from_json(dict(like.manifest))
        return replace(manifest, to_digest=self.versions[number].digest, **changes).to_json()


@pytest.fixture
def line(service: Service, tmp_path: Path) -> Line:
    (tmp_path / "line").mkdir()
    return Line(service.engine, service.objects, tmp_path / "line")


def offered(service: Service, line: Line, number: int) -> list[Manifest]:
    """The steps that a device at that version is told to take."""
    answer = service.device().post("/v1/device/poll", json={"digest": line.versions[number].digest})
    assert answer.status_code == 200, answer.text
    with reading(service.engine) as session:
        manifests = [from_json(manifest) for manifest in session.scalars(select(Step.manifest))]
    by_name = {name_of(manifest): manifest for manifest in manifests}
    return [by_name[name] for name in answer.json()["steps"]]


def take(service: Service, line: Line, number: int, steps: list[Manifest], out: Path) -> str:
    """Fetch, decode and apply the steps as a device does; returns the digest."""
    parent = line.versions[number].snapshot
    data = [service.public.get(f"/v1/blobs/{step.payload.sha256}").content for step in steps]
    assert [len(payload) for payload in data] == [step.payload.length for step in steps]
    starts = [str(step.from_digest) for step in steps]
    table, chain = parent.table, []
    for payload, start in zip(data, starts, strict=True):
        chain.append(open_payload(payload, table, start))
        table = chain[-1].table_after
    return apply(parent, chain, out)


def test_a_device_three_versions_behind_takes_one_step_to_the_same_bits(
    service: Service, line: Line, tmp_path: Path
) -> None:
    line.grow(*line.sparse(4))
    (step,) = offered(service, line, 1)
    assert (step.kind, step.from_version, step.to_version) == ("sparse", 1, 4)
    assert step.payload.length < sum(len(encode(diff, line.versions[0].table, "0" * 64)) for diff in line.diffs[1:])
    assert take(service, line, 1, [step], tmp_path / "short") == line.versions[4].digest
    chain = apply(line.versions[1].snapshot, line.diffs[1:], tmp_path / "chain")
    assert chain == step.to_digest == line.versions[4].digest


def test_every_version_within_reach_has_a_short_cut_and_those_beyond_take_two(
    service: Service, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merged_diffs, "REACH", 3)
    line.grow(*line.sparse(5))
    for number in (2, 3, 4):
        assert [step.from_version for step in offered(service, line, number)] == [number]
    for number in (0, 1):
        steps = offered(service, line, number)
        assert [step.from_version for step in steps] == [number, steps[0].to_version]
        assert all(step.to_version - (step.from_version or 0) <= 3 for step in steps)
        assert take(service, line, number, steps, tmp_path / f"from {number}") == line.versions[5].digest


def test_short_cuts_lead_also_from_what_the_fleet_holds_further_back(
    service: Service, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merged_diffs, "REACH", 2)
    line.grow(*line.sparse(1))
    offered(service, line, 1)  # a device says that it holds version 1
    line.grow(*line.sparse(5))
    with reading(service.engine) as session:
        starts = select(Step.from_digest).where(
            Step.to_digest == line.versions[6].digest, Step.from_digest.is_not(None)
        )
        digests = set(session.scalars(starts))
    assert digests == {line.versions[number].digest for number in (5, 4, 1)}
    (step,) = offered(service, line, 1)
    assert take(service, line, 1, [step], tmp_path / "short") == line.versions[6].digest


def test_a_step_that_is_no_sum_is_never_merged_across(service: Service, line: Line) -> None:
    table = line.versions[0].table
    line.grow(*line.sparse(2), hashed_diff(table), *line.sparse(2))
    steps = offered(service, line, 0)
    assert [(step.kind, step.from_version, step.to_version) for step in steps] == [
        ("sparse", 0, 2), ("hashed", 2, 3), ("sparse", 3, 5),
    ]  # fmt: skip


def test_tensors_that_leave_their_grids_are_a_step_of_its_own_between_short_cuts(
    service: Service, line: Line, tmp_path: Path
) -> None:
    line.grow(*line.sparse(2))
    line.grow(outgrowing_diff(line.versions[-1].table, "layer.weight", "layer.bias"))
    line.grow(*line.sparse(2))
    steps = offered(service, line, 0)
    assert [(step.kind, step.from_version, step.to_version) for step in steps] == [
        ("sparse", 0, 2), ("exact", 2, 3), ("sparse", 3, 5),
    ]  # fmt: skip
    assert take(service, line, 0, steps, tmp_path / "whole") == line.versions[5].digest


def test_a_merged_diff_that_saves_nothing_is_not_offered(line: Line) -> None:
    table = line.versions[0].table
    # Steps that share no divisor make large values of every sum, and dense diffs meet everywhere.
    line.grow(*(sparse_diff(table, seed, 0.9, step) for seed, step in ((1, 4099), (2, 8209))))
    lengths = [len(encode(diff, table, "0" * 64)) for diff in (merge(line.diffs, table), *line.diffs)]
    assert lengths[0] > sum(lengths[1:])
    assert step_count(line) == 2


def test_short_cuts_are_served_only_once_their_candidate_is_published(service: Service, line: Line) -> None:
    line.grow(*line.sparse(1))
    new = line.candidate(line.sparse(1)[0])
    (shortcut,) = new.shortcuts
    candidate = record(line.engine, new)
    path = f"/v1/blobs/{shortcut.payload.sha256}"
    assert service.public.get(path).status_code == 404
    with writing(line.engine) as session:
        versions.publish(session, candidate.id)
    assert service.public.get(path).content == shortcut.data
    with reading(line.engine) as session:
        assert session.scalar(select(func.count()).select_from(Shortcut)) == 0, "it moved"


def test_a_payload_of_an_older_format_ends_the_reach(line: Line) -> None:
    line.grow(*line.sparse(2))
    with writing(line.engine) as session:
        head = versions.head(session, "speech")
        assert head is not None
        oldest = versions.lineage(session, head)[1].candidate.payload
        assert oldest is not None
        session.get_one(Payload, oldest.sha256).data = b"NDIF\x01" + bytes(100)
    assert [shortcut.from_version for shortcut in line.candidate(line.sparse(1)[0]).shortcuts] == [1]


def test_a_short_cut_that_arrives_elsewhere_is_dropped(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    line.grow(*line.sparse(1))
    monkeypatch.setattr(merged_diffs, "merge", lambda diffs, table: diffs[0])
    assert line.candidate(line.sparse(1)[0]).shortcuts == ()


def step_count(line: Line) -> int | None:
    """How many diffs lead anywhere."""
    with reading(line.engine) as session:
        return session.scalar(select(func.count()).select_from(Step).where(Step.from_digest.is_not(None)))
