"""The way that an answer names, through metadata that was really signed and fetched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from diffclient.errors import Backwards, BrokenChain, DiffClientError, ManifestError, UnknownTarget, WrongModel
from diffclient.measure.error_count import Errors
from diffclient.network.messages import Answer
from diffclient.network.transport import Transport
from diffclient.release.manifest import Blob, Manifest
from diffclient.release.target_names import diff_name, downgrade_name, graph_name, snapshot_name
from diffclient.store.state import Installed
from diffclient.trust.verified_metadata import PATH, Trust, plant_root
from diffclient.update import route
from tests.client.conftest import IMPATIENT
from tests.client.lineage import MODEL, Lineage
from tests.client.scripted_server import ScriptedServer


@pytest.fixture
def folder(tmp_path: Path, server: ScriptedServer) -> Path:
    plant_root(tmp_path / "trust", server.repository.first_root)
    return tmp_path / "trust"


@pytest.fixture
def trust(folder: Path, server: ScriptedServer) -> Trust:
    return refreshed(folder, server)


def refreshed(folder: Path, server: ScriptedServer) -> Trust:
    found = Trust(folder, [server.url + PATH], Transport(IMPATIENT))
    found.refresh()
    return found


def to(lineage: Lineage, target: int, *names: str) -> Answer:
    return Answer(target, lineage.digest(target), names, 60)


def diffs(*numbers: int) -> list[str]:
    return [diff_name(MODEL, number, number - 1) for number in numbers]


def test_diffs_lead_to_the_manifest_of_the_last(trust: Trust, lineage: Lineage) -> None:
    found = route.find(trust, to(lineage, 3, *diffs(1, 2, 3)), lineage.digest(0), MODEL)
    assert found.target == lineage.diffs[2]
    assert [leg.payload for leg in found.legs] == [step.payload for step in lineage.diffs]
    assert [leg.kind for leg in found.legs] == ["sparse"] * 3


@pytest.mark.parametrize("held", [None, 3])
def test_a_snapshot_starts_from_anything(trust: Trust, lineage: Lineage, held: int | None) -> None:
    digest = None if held is None else lineage.digest(held)
    alone = route.find(trust, to(lineage, 1, snapshot_name(MODEL, 1)), digest, MODEL)
    assert (alone.target, alone.legs[0].from_digest) == (lineage.snapshots[1], None)
    more = route.find(trust, to(lineage, 2, snapshot_name(MODEL, 1), *diffs(2)), digest, MODEL)
    assert more.target == lineage.diffs[1]


def test_only_the_last_versions_facts_are_needed(folder: Path, server: ScriptedServer, lineage: Lineage) -> None:
    for number in (0, 1, 2):
        del server.repository.named[snapshot_name(MODEL, number)]
    server.repository.publish()
    found = route.find(refreshed(folder, server), to(lineage, 3, *diffs(1, 2, 3)), lineage.digest(0), MODEL)
    assert found.target == lineage.diffs[2]


def test_history_leads_on_from_the_archive(folder: Path, server: ScriptedServer, lineage: Lineage) -> None:
    server.repository.retire([*diffs(1, 2), snapshot_name(MODEL, 0)])
    found = route.find(refreshed(folder, server), to(lineage, 3, *diffs(1, 2, 3)), lineage.digest(0), MODEL)
    assert [leg.to_version for leg in found.legs] == [1, 2, 3]


BROKEN: list[tuple[str, int, list[str], type[DiffClientError], str]] = [
    ("a gap", 3, diffs(1, 3), BrokenChain, "version 1, then 2"),
    ("another order", 3, diffs(3, 2, 1), BrokenChain, "version 3, then 1"),
    ("a circle", 2, [*diffs(1, 2), *diffs(1, 2)], BrokenChain, "version 2, then 0"),
    ("an early end", 3, diffs(1, 2), BrokenChain, "end at version 2"),
    ("another start", 3, diffs(2, 3), BrokenChain, "step 1 starts from"),
    ("a snapshot in the middle", 2, [*diffs(1), snapshot_name(MODEL, 2)], BrokenChain, "only the first"),
    ("a permission", 3, [downgrade_name(MODEL, 3)], BrokenChain, "leads nowhere"),
    ("a graph", 3, [graph_name(MODEL, "a" * 64)], BrokenChain, "leads nowhere"),
    ("another model", 3, [snapshot_name("dictation", 3)], WrongModel, "dictation.*commands"),
    ("another model at last", 3, [*diffs(1, 2), diff_name("dictation", 3, 2)], WrongModel, "step 3"),
    ("a version that no one signed", 3, [diff_name(MODEL, 3, 0)], UnknownTarget, "3.from.0"),
]


@pytest.mark.parametrize(
    ("target", "names", "error", "words"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN]
)
def test_names_that_lead_nowhere(
    trust: Trust, lineage: Lineage, target: int, names: list[str], error: type[DiffClientError], words: str
) -> None:
    with pytest.raises(error, match=words):
        route.find(trust, to(lineage, target, *names), lineage.digest(0), MODEL)


def test_nothing_is_fetched_for_names_that_cannot_join(trust: Trust, server: ScriptedServer, lineage: Lineage) -> None:
    server.seen.clear()
    for _, target, names, error, words in BROKEN[:4]:
        with pytest.raises(error, match=words):
            route.find(trust, to(lineage, target, *names), lineage.digest(0), MODEL)
    assert server.seen == []


def test_the_answers_digest_must_be_the_signed_one(trust: Trust, lineage: Lineage) -> None:
    for digest in ("f" * 64, lineage.digest(2)):
        with pytest.raises(BrokenChain, match="the steps end at"):
            route.find(trust, replace(to(lineage, 3, *diffs(1, 2, 3)), digest=digest), lineage.digest(0), MODEL)


@pytest.mark.parametrize("custom", [None, {}, {"diffserver": {"digest": "x"}}, {"diffserver": json}], ids=str)
def test_signed_nonsense_is_refused(
    folder: Path, server: ScriptedServer, lineage: Lineage, custom: dict[str, object] | None
) -> None:
    if custom == {"diffserver": json}:  # a step where facts belong
        custom = server.repository.named[diffs(3)[0]].custom
    server.repository.named[snapshot_name(MODEL, 3)].unrecognized_fields = {"custom": custom}
    server.repository.publish()
    with pytest.raises(ManifestError):
        route.find(refreshed(folder, server), to(lineage, 3, *diffs(1, 2, 3)), lineage.digest(0), MODEL)


def test_a_graph_that_is_not_what_its_name_says(folder: Path, server: ScriptedServer, lineage: Lineage) -> None:
    server.repository.name(graph_name(MODEL, lineage.graph.sha256), Blob("9" * 64, 9))
    server.repository.publish()
    with pytest.raises(ManifestError, match="does not hold what its name says"):
        route.find(refreshed(folder, server), to(lineage, 3, snapshot_name(MODEL, 3)), None, MODEL)


# Backwards


def running(manifest: Manifest) -> Installed:
    return Installed(manifest, Errors(0, 0), None)


@pytest.mark.parametrize(("at", "target"), [(None, 0), (0, 1), (0, 3), (2, 2)])
def test_forward_is_free(trust: Trust, lineage: Lineage, at: int | None, target: int) -> None:
    current = None if at is None else running(lineage.snapshots[at])
    route.check_forward(trust, lineage.snapshots[target], current)


def test_backwards_needs_a_permission(folder: Path, server: ScriptedServer, lineage: Lineage) -> None:
    def check(at: int, target: int) -> None:
        route.check_forward(refreshed(folder, server), lineage.snapshots[target], running(lineage.snapshots[at]))

    with pytest.raises(Backwards, match="version 0 does not come after version 3"):
        check(3, 0)
    server.repository.permit(0, lineage.digest(0), below=2)
    check(2, 0)
    check(1, 0)
    with pytest.raises(Backwards):
        check(3, 0)  # not for those beyond
    with pytest.raises(Backwards):
        check(2, 1)  # not to another version


def test_a_permission_for_other_weights_is_none(folder: Path, server: ScriptedServer, lineage: Lineage) -> None:
    server.repository.permit(0, "e" * 64, below=9)
    with pytest.raises(Backwards):
        route.check_forward(refreshed(folder, server), lineage.snapshots[0], running(lineage.snapshots[3]))


def test_the_same_number_again_with_other_weights_is_backwards(trust: Trust, lineage: Lineage) -> None:
    other = replace(lineage.snapshots[2], to_digest="e" * 64)
    with pytest.raises(Backwards):
        route.check_forward(trust, other, running(lineage.snapshots[2]))
