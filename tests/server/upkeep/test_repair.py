"""Every kind of damage is found; what follows from sound bytes is made again, what does not is taken from files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from diffserver.storage.database import writing
from diffserver.storage.object_store import Objects
from diffserver.storage.tables import Candidate, Payload
from diffserver.upkeep.damage import Damage, find_damage, take_inventory
from diffserver.upkeep.repair import repair
from tests.client.lineage import CLASSIFIER, Lineage
from tests.server import factories
from tests.server.conftest import Service, record
from tests.server.stored import cut, empty, spoil

Break = Callable[[Objects, str], object]

on_each_store = pytest.mark.parametrize("objects_url", ["file", "s3"], indirect=True)


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    return Lineage(tmp_path_factory.mktemp("lineage"), CLASSIFIER).grow(4)


@pytest.fixture
def published(service: Service, lineage: Lineage) -> Service:
    """Versions 0 to 3 are published, the fourth is a candidate."""
    for number in range(4):
        service.publish(factories.of_lineage(lineage, number, service.objects))
    record(service.engine, factories.of_lineage(lineage, 4, service.objects))
    return service


def found(service: Service) -> list[Damage]:
    return find_damage(service.engine, service.objects, take_inventory(service.engine, service.objects))


def mend(service: Service, *sources: Path) -> dict[str, str]:
    done = repair(service.engine, service.objects, found(service), sources, service.settings.home)
    return {damage.bytes.sha256: said for damage, said in done.items()}


@on_each_store
def test_what_is_sound_is_read_and_nothing_found(published: Service, lineage: Lineage) -> None:
    parts = take_inventory(published.engine, published.objects)
    assert {one.sha256 for one in parts.parts} == set(lineage.blobs)
    read: list[int] = []
    assert find_damage(published.engine, published.objects, parts, read.append) == []
    assert sum(read) == parts.length == sum(map(len, lineage.blobs.values()))


@on_each_store
@pytest.mark.parametrize(
    ("problem", "damage"),
    [("altered", spoil), ("missing", Objects.remove), ("altered", empty), ("altered", cut)],
)
def test_damage_is_named(published: Service, lineage: Lineage, problem: str, damage: Break) -> None:
    graph = lineage.graph.sha256
    damage(published.objects, graph)
    (one,) = found(published)
    assert (one.problem, one.bytes.sha256, one.bytes.what) == (problem, graph, f"graph of version 0 of {lineage.model}")


@on_each_store
def test_snapshots_are_made_again_from_what_is_left(published: Service, lineage: Lineage) -> None:
    lost = [lineage.snapshots[number].payload.sha256 for number in (1, 2, 3, 4)]
    for sha256 in lost[:3]:
        published.objects.remove(sha256)
    spoil(published.objects, lost[3])
    done = mend(published)
    assert [done[sha256].partition(" and")[0] for sha256 in lost[:3]] == [
        f"made again from version {number}" for number in range(3)
    ]
    assert done[lost[3]] == "made again from the payload of candidate 5"
    assert found(published) == []
    assert all(published.objects.get(sha256) == lineage.blobs[sha256] for sha256 in lost)


def test_what_follows_from_nothing_stays_lost_until_a_file_has_it(
    published: Service, lineage: Lineage, tmp_path: Path
) -> None:
    base, graph, payload = (
        lineage.snapshots[0].payload.sha256,
        lineage.graph.sha256,
        lineage.diffs[0].payload.sha256,
    )
    lost = [base, graph, payload, lineage.snapshots[1].payload.sha256]
    for sha256 in (base, graph, lost[3]):
        published.objects.remove(sha256)
    with writing(published.engine) as session:
        session.execute(delete(Payload).where(Payload.sha256 == payload))
    assert mend(published) == {}
    assert {damage.bytes.sha256 for damage in found(published)} == set(lost)
    backup = tmp_path / "backup" / "deep"
    backup.mkdir(parents=True)
    for sha256 in lost[:3]:
        (backup / f"some {sha256[:5]}").write_bytes(lineage.blobs[sha256])
    (backup / "other").write_bytes(lineage.blobs[graph][:-1] + b"x")
    done = mend(published, tmp_path / "backup")
    assert done[lost[3]].startswith("made again from version 0")
    assert all("put back from" in done[sha256] for sha256 in lost[:3])
    assert found(published) == []


def test_payloads_of_both_kinds_are_put_back(published: Service, lineage: Lineage, tmp_path: Path) -> None:
    served, own = lineage.diffs[1].payload.sha256, lineage.diffs[3].payload.sha256
    with writing(published.engine) as session:
        session.execute(update(Payload).where(Payload.sha256 == served).values(data=b"short"))
        session.execute(update(Candidate).where(Candidate.payload_sha256 == own).values(payload_data=b"other"))
    assert [damage.problem for damage in found(published)] == ["altered", "altered"]
    for sha256 in (served, own):
        (tmp_path / sha256[:9]).write_bytes(lineage.blobs[sha256])
    assert set(mend(published, tmp_path / served[:9], tmp_path / own[:9])) == {served, own}
    assert found(published) == []
    assert published.public.get(f"/v1/blobs/{served}").content == lineage.blobs[served]


def test_a_wrong_payload_makes_nothing_again(published: Service, lineage: Lineage) -> None:
    lost = lineage.snapshots[4].payload.sha256
    published.objects.remove(lost)
    with writing(published.engine) as session:
        session.execute(update(Candidate).where(Candidate.number == 4).values(payload_data=b"other"))
    assert mend(published) == {}
    assert not published.objects.exists(lost)


@on_each_store
def test_damage_without_a_name_is_removed_and_other_strangers_stay(published: Service) -> None:
    broken, sound = (published.objects.put(data).sha256 for data in (b"broken", b"sound"))
    spoil(published.objects, broken)
    assert mend(published) == {broken: "removed: no row names it"}
    assert (published.objects.exists(broken), published.objects.exists(sound)) == (False, True)
