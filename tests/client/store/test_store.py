"""The store: one owner at a time, one rename a switch, nothing left over, nothing damaged unnoticed."""

from __future__ import annotations

import json
import stat
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from diffclient.errors import DigestMismatch, NotEnrolled, SnapshotError, StateError, StoreBusy, StoreFailed
from diffclient.measure.error_count import Errors
from diffclient.network.messages import Enrolment
from diffclient.network.report import Report
from diffclient.release.manifest import Blob
from diffclient.store.policy import Policy
from diffclient.store.state import OUTBOX_LIMIT, UNFIT_LIMIT, Failure, Installed, State, Unfit, read_state
from diffclient.store.store import Store
from tests.client.conftest import Device
from tests.client.lineage import Lineage

ENROLMENT = Enrolment("https://models.example.org", "device-1", "secret", "commands", "stable", "kitchen")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def installed(lineage: Lineage, number: int) -> Installed:
    return Installed(lineage.snapshots[number], Errors(3, 40), -2500)


def full_state(lineage: Lineage) -> State:
    return State(
        current=installed(lineage, 1),
        previous=installed(lineage, 0),
        held_back="b" * 64,
        failure=Failure("download", "it broke off", None, "2026-01-01T00:00:00+00:00", "network"),
        outbox=(
            Report("postponed", None, "c" * 64, "download", seconds_total=0.25, report_id="0" * 32, device_time=9),
        ),
        unfit=(Unfit("d" * 64, "e" * 64, "it measures another error rate"),),
    )


def test_a_new_store_knows_nothing(store: Store) -> None:
    assert store.state() == State()
    assert not store.enrolled
    with pytest.raises(NotEnrolled, match="diffclient enroll"):
        store.enrolment()
    assert not store.root.exists()  # looking makes nothing


def test_the_state_comes_back(store: Store, lineage: Lineage) -> None:
    state = full_state(lineage)
    with store.locked():
        store.save(state)
    assert Store(store.root).state() == state


def test_the_enrolment_comes_back_and_is_its_owners_alone(store: Store) -> None:
    with store.locked():
        store.enroll(ENROLMENT)
    assert store.enrolment() == ENROLMENT
    assert stat.S_IMODE((store.root / "enrolment.json").stat().st_mode) == 0o600
    assert "secret" not in repr(ENROLMENT)


def test_the_outbox_is_bounded(lineage: Lineage) -> None:
    state = State()
    for number in range(OUTBOX_LIMIT + 5):
        state = state.with_report(Report("failed", None, None, downloaded_bytes=number))
    assert [report.downloaded_bytes for report in state.outbox] == list(range(5, OUTBOX_LIMIT + 5))


def test_of_postponed_updates_the_last_report_waits() -> None:
    """A day without a network must not push out what was installed before it."""
    state = State().with_report(Report.new("installed", None, "a" * 64))
    for number in range(OUTBOX_LIMIT + 5):
        state = state.with_report(Report.new("postponed", None, None, downloaded_bytes=number))
    assert [(report.stage, report.downloaded_bytes) for report in state.outbox] == [
        ("installed", 0), ("postponed", OUTBOX_LIMIT + 4),
    ]  # fmt: skip


def test_a_failure_that_an_earlier_client_wrote_has_no_cause(store: Store, lineage: Lineage) -> None:
    kept = full_state(lineage).to_json()
    del kept["failure"]["cause"]
    failure = read_state(json.dumps(kept).encode()).failure
    assert failure is not None
    assert (failure.cause, failure.passes) == (None, False)


def test_verdicts_are_kept_by_version_and_bounded() -> None:
    state = State()
    for number in range(UNFIT_LIMIT + 3):
        state = state.with_unfit(Unfit(f"{number:064x}", "a" * 64, "why"))
    assert len(state.unfit) == UNFIT_LIMIT
    newest = state.unfit[-1].digest
    assert state.verdict(newest, "a" * 64) == state.unfit[-1]
    assert state.verdict(newest, "b" * 64) is None
    assert state.verdict(f"{0:064x}", "a" * 64) is None  # the oldest gave way
    again = state.with_unfit(Unfit(newest, "b" * 64, "still"))
    assert len(again.unfit) == UNFIT_LIMIT
    assert again.verdict(newest, "a" * 64) is None


def test_a_state_of_before_verdicts_were_kept_is_read(lineage: Lineage) -> None:
    fields = full_state(lineage).to_json()
    del fields["unfit"]
    assert read_state(json.dumps(fields).encode()) == replace(full_state(lineage), unfit=())


def test_the_policy_comes_back(store: Store) -> None:
    assert store.policy() == Policy()
    policy = Policy("never", 5, ("https://cdn.example.org",))
    with store.locked():
        store.allow(policy)
        with pytest.raises(StateError):
            store.allow(Policy(mirrors=("ftp://cdn.example.org",)))
    assert store.policy() == policy


def test_a_download_of_what_is_here_already_is_a_leftover(device: Device, lineage: Lineage) -> None:
    """A power cut may undo one half of a rename between folders."""
    device.update()
    part = device.store.downloads / f"{lineage.graph.sha256}.part"
    part.write_bytes(b"half")
    device.update()
    assert not part.exists()
    assert device.digest()


def test_two_owners_exclude_each_other(store: Store) -> None:
    with store.locked():
        with pytest.raises(StoreBusy, match="another process"), Store(store.root).locked():
            pass
        assert store.state() == State()  # looking is free
    with Store(store.root).locked():
        pass


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 300,
        b"[]",
        b"{}",
        b'{"format": 2}',
        b'{"format": 1, "outbox": {}}',
        b'{"format": 1, "outbox": [], "current": {"manifest": null}}',
        b'{"format": 1, "outbox": [{"stage": "nonsense"}]}',
        b'{"format": 1, "outbox": [], "held_back": "../.."}',
    ],
)
def test_a_damaged_state_is_named_and_touches_no_slot(store: Store, data: bytes) -> None:
    with store.locked():
        pass
    (store.root / "state.json").write_bytes(data)
    (store.root / "slots" / "precious").mkdir()
    with pytest.raises(StateError, match=r"remove .*state\.json"):
        store.state()
    with pytest.raises(StateError), store.locked():
        pass
    assert (store.root / "slots" / "precious").exists()


def test_every_field_of_the_state_is_checked(lineage: Lineage) -> None:
    """Each field in turn becomes something that it can never be."""
    whole = full_state(lineage).to_json()

    def broken(value: object) -> list[object]:
        if isinstance(value, dict):
            return [value | {key: bad} for key, inner in value.items() for bad in broken(inner)]
        if isinstance(value, list | tuple):
            return [[bad] for inner in value for bad in broken(inner)]
        return [["odd"]]

    variants = broken(whole)
    assert len(variants) > 40
    for variant in variants:
        with pytest.raises(StateError):
            read_state(json.dumps(variant).encode())


def test_leftovers_are_cleared_and_what_is_wanted_stays(device: Device, lineage: Lineage) -> None:
    device.update()
    store = device.store
    wanted, odd = lineage.diffs[0].payload, Blob("e" * 64, 5)
    leftovers = [store.weights("d" * 64).parent, store.root / "slots" / "draft.new"]
    for folder in leftovers:
        folder.mkdir()
        (folder / "weights.safetensors").write_bytes(b"half")
    (store.root / "state.json.new").write_bytes(b"half")
    (store.trust / "timestamp.json.new").write_bytes(b"half")
    for blob in (wanted, odd):
        store.object(blob).write_bytes(b"half")
        (store.downloads / f"{blob.sha256}.part").write_bytes(b"half")
    with store.locked():
        assert not any(folder.exists() for folder in leftovers)
        assert not (store.root / "state.json.new").exists()
        store.sweep([wanted])
    assert [path.name for path in store.downloads.iterdir()] == [f"{wanted.sha256}.part"]
    assert not store.object(odd).exists()
    assert device.digest() == lineage.digest(0)


def test_a_draft_gets_its_slot_only_by_its_digest(store: Store, lineage: Lineage) -> None:
    data = lineage.versions[0].snapshot.path.read_bytes()
    with store.locked():
        store.draft().write_bytes(data)
        with pytest.raises(DigestMismatch, match="`diffclient update`"):
            store.keep(lineage.digest(1))
        assert not store.holds(lineage.digest(1))
        store.draft().write_bytes(data[:-1])
        with pytest.raises(SnapshotError):
            store.keep(lineage.digest(0))
        store.draft().write_bytes(data)
        store.keep(lineage.digest(0))
    assert store.holds(lineage.digest(0))


@pytest.mark.parametrize("what", ["weights", "graph", "probe"])
@pytest.mark.parametrize("how", ["flipped", "cut", "missing"])
def test_verify_finds_what_is_damaged(device: Device, lineage: Lineage, what: str, how: str) -> None:
    device.update()
    version = device.store.state().current
    assert version is not None
    path = {
        "weights": device.store.weights(version.digest),
        "graph": device.store.object(lineage.graph),
        "probe": device.store.object(version.manifest.probes[0].blob),
    }[what]
    data = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes(data[:-1] if how == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    name = version.digest if what == "weights" else path.name
    with pytest.raises(DigestMismatch, match=name):
        device.store.verify(version)


def test_a_store_where_none_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreFailed, match="permissions"), Store(tmp_path / "file" / "store").locked():
        pass


def test_the_token_is_in_no_other_file(device: Device) -> None:
    device.update()
    holders = [
        path.name
        for path in device.store.root.rglob("*")
        if path.is_file() and device.store.enrolment().token.encode() in path.read_bytes()
    ]
    assert holders == ["enrolment.json"]
    assert asdict(device.store.enrolment())["token"]
