from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffclient.errors import ManifestError
from diffclient.release import target_custom, target_names
from diffclient.release.manifest import Probe
from diffserver.errors import Conflict, DiffServerError, Invalid, NotFound
from diffserver.trust.metadata.role_changes import Change, GoBack, GoForward, Publish, Renew, Retire, from_json_values
from tests.server import factories
from tests.server.trust.world import World, manifests


def go_forward(number: int, label: str = "v") -> GoForward:
    return GoForward(factories.digest(f"{label}{number}"), number)


def go_back(number: int, below: int, label: str = "v") -> GoBack:
    return GoBack(factories.digest(f"{label}{number}"), number, below, factories.blob("permission", 60))


def grown(count: int) -> World:
    world = World()
    for number in range(count + 1):
        world.publish(number)
    return world


def live(world: World) -> set[str]:
    return set(world.roles["speech"].signed.targets)


def test_the_latest_two_versions_are_live_and_the_rest_is_history() -> None:
    world = grown(4)
    graph, probe = factories.blob("graph").sha256, factories.blob("probes").sha256
    assert live(world) == {
        "speech/v0/4.from.3",
        "speech/v0/4.snapshot",
        "speech/v0/3.from.2",
        "speech/v0/3.snapshot",
        target_names.graph_name("speech", graph),
        target_names.probe_name("speech", probe),
    }
    assert set(world.roles["speech+archive-0"].signed.targets) == {
        *(f"speech/v0/{number}.snapshot" for number in range(3)),
        "speech/v0/1.from.0",
        "speech/v0/2.from.1",
    }
    assert world.roles["speech+archive"].signed.targets == {}


def test_a_publish_rewrites_one_shard_at_most() -> None:
    world = grown(65)
    assert world.publish(66) == ["speech", "speech+archive", "speech+archive-1"], "the shard is new"
    assert world.publish(67) == ["speech", "speech+archive-1"]
    assert sorted(world.roles) == ["speech", "speech+archive", "speech+archive-0", "speech+archive-1", "targets"]


def test_every_version_is_found_and_joins_to_its_manifest() -> None:
    world = grown(70)
    for number in (0, 1, 63, 64, 68, 69, 70):
        for manifest in manifests(number):
            target = world.find(name := target_custom.name_of(manifest))
            whole = world.find(target_names.snapshot_name("speech", number))
            assert target is not None
            assert whole is not None
            facts = target_custom.read_facts(target_names.snapshot_name("speech", number), whole.custom)
            step = target_custom.read_step(name, target.custom) if manifest.from_version is not None else None
            objects = target_custom.objects_of(manifest)
            assert all(world.find(object_name) for object_name in facts.objects)
            assert target_custom.join(name, manifest.payload, step, facts, objects) == manifest
            assert (target.hashes["sha256"], target.length) == (manifest.payload.sha256, manifest.payload.length)


def test_probes_and_graphs_of_history_move_to_the_archive_and_back() -> None:
    world = grown(1)
    probes = {number: (Probe("base", factories.blob(f"probes {number}"), 400, 12),) for number in range(2, 7)}
    for number in (2, 3, 4):
        world.apply(Publish(tuple(replace(manifest, probes=probes[number]) for manifest in manifests(number))))
    moved = target_names.probe_name("speech", factories.blob("probes 2").sha256)
    assert moved not in live(world)
    assert set(world.roles["speech+archive"].signed.targets) == {
        moved,
        target_names.probe_name("speech", factories.blob("probes").sha256),
    }
    assert world.find(moved)
    world.apply(Publish(tuple(replace(manifest, probes=probes[2]) for manifest in manifests(5))))
    assert moved in live(world)
    assert moved not in world.roles["speech+archive"].signed.targets


def test_a_way_back_is_permitted_until_the_next_version() -> None:
    world = grown(5)
    assert world.apply(go_back(1, 5)) == ["speech"]
    target = world.find("speech/v0/1.downgrade")
    assert target is not None
    permission = target_custom.read_downgrade("speech/v0/1.downgrade", target.custom)
    assert permission == target_custom.Downgrade(factories.digest("v1"), 1, 5)
    world.apply(go_back(0, 5))
    assert world.find("speech/v0/1.downgrade") is None, "one at a time"
    world.publish(6)
    assert world.find("speech/v0/0.downgrade") is None


def test_a_way_back_ends_where_devices_go_forward_again() -> None:
    world = grown(5)
    world.apply(go_back(1, 5))
    assert world.apply(go_forward(5)) == ["speech"]
    assert world.find("speech/v0/1.downgrade") is None


def test_retired_diffs_are_gone_and_their_versions_facts_stay() -> None:
    world = grown(70)
    assert world.apply(Retire(66)) == ["speech+archive-0", "speech+archive-1"]
    assert world.find("speech/v0/63.from.62") is None
    assert world.find("speech/v1/65.from.64") is None
    assert world.find("speech/v1/66.from.65")
    assert all(world.find(target_names.snapshot_name("speech", number)) for number in range(71))
    assert world.apply(Retire(66)) == [], "nothing is left to do"


def test_renewing_writes_every_role_again_with_the_same_targets() -> None:
    world = grown(70)
    before = {role: (metadata.signed.version, metadata.signed.targets) for role, metadata in world.roles.items()}
    assert world.apply(Renew()) == ["speech", "speech+archive", "speech+archive-0", "speech+archive-1"]
    for role, (version, files) in before.items():
        if role != "targets":
            assert (world.roles[role].signed.version, world.roles[role].signed.targets) == (version + 1, files)


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        pytest.param(Publish(manifests(4)), Conflict, "does not follow", id="a version left out"),
        pytest.param(Publish(manifests(2)), Conflict, "does not follow", id="a version again"),
        pytest.param(Publish(manifests(0)), Conflict, "does not follow", id="a second beginning"),
        pytest.param(Publish(manifests(3)[:1]), Invalid, "needs its snapshot", id="no snapshot"),
        pytest.param(Publish(()), Invalid, "not of one version", id="nothing"),
        pytest.param(Publish((*manifests(3), *manifests(4))), Invalid, "not of one version", id="two versions"),
        pytest.param(
            Publish(tuple(replace(manifest, model="other") for manifest in manifests(3))),
            Invalid,
            "not of one",
            id="a foreign model",
        ),
        pytest.param(
            Publish(
                tuple(
                    replace(manifest, from_digest=manifest.from_digest and factories.digest("forged"))
                    for manifest in manifests(3)
                )
            ),
            Conflict,
            "does not start from the weights",
            id="a forged start",
        ),
        pytest.param(Publish(manifests(3, (9,))), Conflict, "does not start from", id="from the future"),
        pytest.param(go_back(2, 2), Conflict, "not what was published", id="back to the latest"),
        pytest.param(go_back(1, 9), Conflict, "not what was published", id="back from the future"),
        pytest.param(go_back(1, 1), Conflict, "not what was published", id="back to itself"),
        pytest.param(go_back(1, 2, "forged"), Conflict, "not what was published", id="back to other weights"),
        pytest.param(go_back(7, 2), NotFound, "not signed", id="back to nowhere"),
        pytest.param(go_forward(1), Conflict, "not what was published", id="forward to the past"),
        pytest.param(go_forward(2, "forged"), Conflict, "not what was published", id="to other weights"),
        pytest.param(Retire(2), Conflict, "not history yet", id="retire what is live"),
        pytest.param(Retire(10**9), Conflict, "not history yet", id="retire everything"),
    ],
)
def test_changes_that_contradict_what_was_signed(change: Change, error: type[DiffServerError], reason: str) -> None:
    world = grown(2)
    before = dict(world.roles)
    with pytest.raises(error, match=reason):
        world.apply(change)
    assert world.roles == before


def test_nothing_can_be_done_before_the_first_version() -> None:
    for change in (Renew(), Retire(0), go_back(0, 1), go_forward(0)):
        with pytest.raises((NotFound, Conflict)):
            World().apply(change)


@pytest.mark.parametrize("change", [Publish(manifests(3, (2, 0))), go_back(1, 3), go_forward(3), Retire(7), Renew()])
def test_a_change_travels_as_json(change: Change) -> None:
    assert from_json_values(change.to_json()) == change


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"kind": "erase"},
        {"kind": ["publish"]},
        {"kind": "retire"},
        {"kind": "retire", "before": 1, "more": 2},
        {"kind": "downgrade", "version": 1},
        {"kind": "publish"},
        {"kind": "publish", "manifests": 5},
        {"kind": "publish", "manifests": [{"kind": "sparse"}]},
    ],
)
def test_what_is_no_change_is_refused(value: dict[str, object]) -> None:
    with pytest.raises((Invalid, ManifestError)):
        from_json_values(value)


@settings(max_examples=40)
@given(st.data())
def test_whatever_happens_what_was_published_is_found_and_the_live_role_stays_small(data: st.DataObject) -> None:
    world, head, retired = World(), -1, 0
    for _ in range(data.draw(st.integers(1, 12))):
        act = data.draw(st.sampled_from(["publish"] * 4 + ["back", "retire", "renew"]))
        if act == "publish":
            head += 1
            starts = data.draw(st.sets(st.integers(max(0, head - 4), head - 1), min_size=1)) if head else set()
            world.publish(head, tuple(sorted(starts)))
        elif act == "back" and head > 0:
            world.apply(go_back(data.draw(st.integers(0, head - 1)), head))
        elif act == "retire" and head > 0:
            retired = max(retired, data.draw(st.integers(0, head - 1)))
            world.apply(Retire(retired))
        elif act == "renew" and head >= 0:
            world.apply(Renew())
        if head >= 0:
            _require_sound(world, head, retired)


def _require_sound(world: World, head: int, retired: int) -> None:
    assert all(world.find(target_names.snapshot_name("speech", number)) for number in range(head + 1))
    parsed = [target_names.parse(name) for name in live(world)]
    assert {target.number for target in parsed if target.kind in ("snapshot", "diff")} == {head, max(head - 1, 0)}
    every = [name for role, metadata in world.roles.items() if role != "targets" for name in metadata.signed.targets]
    assert len(every) == len(set(every)), "each target stands in one role"
    diffs = [target.number for target in map(target_names.parse, every) if target.kind == "diff"]
    assert all(number is not None and number >= retired for number in diffs)
