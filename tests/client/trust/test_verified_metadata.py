"""Trust and a repository, over real HTTP: what is accepted, what is kept, and what each lie is called."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.ngclient import Updater

from diffclient import durable
from diffclient.errors import (
    BadSignature,
    DiffClientError,
    ManifestError,
    MetadataExpired,
    MetadataMalformed,
    MetadataMismatch,
    MetadataRolledBack,
    MetadataTooLong,
    NoRoot,
    ServerBusy,
    ServerRefused,
    ServerUnreachable,
    StoreFailed,
    UnknownTarget,
    ValidTooLong,
)
from diffclient.network.messages import Standing
from diffclient.network.transport import Transport
from diffclient.release.target_names import diff_name, snapshot_name
from diffclient.trust import durable_updater, verified_metadata
from diffclient.trust.verified_metadata import Trust, plant_root
from tests.client import scripted_server
from tests.client.conftest import IMPATIENT
from tests.client.lineage import MODEL, Lineage
from tests.client.repository import Repository
from tests.client.scripted_server import ScriptedServer

SNAPSHOT, DIFF = snapshot_name(MODEL, 3), diff_name(MODEL, 3, 2)


@dataclass
class Rooted:
    """A folder of metadata and the server that it is refreshed from."""

    folder: Path
    server: ScriptedServer

    def __call__(self, *bases: str, standing: Standing | None = None) -> Trust:
        """Refreshed, as a fresh process would."""
        trust = Trust(
            self.folder,
            [f"{base}{verified_metadata.PATH}" for base in bases or [self.server.url]],
            Transport(IMPATIENT),
        )
        trust.refresh(standing)
        return trust

    def kept(self) -> dict[str, bytes]:
        """What is on the disk."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


@pytest.fixture
def repository(server: ScriptedServer) -> Repository:
    return server.repository


@pytest.fixture
def rooted(tmp_path: Path, server: ScriptedServer) -> Rooted:
    plant_root(tmp_path / "trust", server.repository.first_root)
    return Rooted(tmp_path / "trust", server)


def asked(server: ScriptedServer) -> list[str]:
    return [request.path.rsplit("/", 1)[1] for request in server.seen]


def test_a_target_is_found_with_its_custom_fields(rooted: Rooted, lineage: Lineage) -> None:
    target = rooted().get(DIFF)
    assert target.blob == lineage.diffs[2].payload
    assert target.custom["diffserver"]["from"] == lineage.digest(2)


def test_a_poll_with_nothing_new_fetches_one_role(rooted: Rooted, server: ScriptedServer) -> None:
    rooted().get(DIFF)
    server.seen.clear()
    rooted()
    assert asked(server) == ["2.root.json", "timestamp.json"]


def standing(repository: Repository, root: int = 1) -> Standing:
    """What an honest server says that stands."""
    return Standing(root, hashlib.sha256(repository.files["timestamp.json"]).hexdigest())


def test_what_is_here_and_stands_is_not_fetched(
    rooted: Rooted, server: ScriptedServer, repository: Repository, lineage: Lineage
) -> None:
    rooted().get(DIFF)
    server.seen.clear()
    trust = rooted(standing=standing(repository))
    assert trust.get(DIFF).blob == lineage.diffs[2].payload
    assert (asked(server), trust.received) == ([], 0)


@pytest.mark.parametrize("what", ["another timestamp", "another root", "a lost file", "a torn file", "nothing is here"])
def test_what_does_not_stand_or_is_not_whole_is_fetched(
    rooted: Rooted, server: ScriptedServer, repository: Repository, what: str
) -> None:
    if what != "nothing is here":
        rooted()
    said = standing(repository, 2 if what == "another root" else 1)
    if what == "another timestamp":
        repository.publish()
        said = standing(repository)
    elif what == "a lost file":
        (rooted.folder / "snapshot.json").unlink()
    elif what == "a torn file":
        (rooted.folder / "targets.json").write_bytes(b"{")
    server.seen.clear()
    rooted(standing=said).get(SNAPSHOT)
    assert asked(server)[:2] == ["2.root.json", "timestamp.json"]


def test_what_stands_for_too_long_is_refused(
    rooted: Rooted, server: ScriptedServer, repository: Repository, clock: type[At]
) -> None:
    rooted()
    clock.shift = timedelta(days=8)
    server.seen.clear()
    with pytest.raises(MetadataExpired):
        rooted(standing=standing(repository))
    assert asked(server)[:2] == ["2.root.json", "timestamp.json"], "a newer one was asked for"


def test_one_new_version_fetches_three(rooted: Rooted, server: ScriptedServer, repository: Repository) -> None:
    rooted().get(DIFF)
    repository.publish()
    server.seen.clear()
    trust = rooted()
    trust.get(DIFF)
    assert [name.partition(".")[2] for name in asked(server)] == ["root.json", "json", "snapshot.json", f"{MODEL}.json"]
    assert trust.received == sum(len(repository.files[name]) for name in asked(server)[1:])


def test_history_is_found_in_the_archive(rooted: Rooted, server: ScriptedServer, repository: Repository) -> None:
    old = snapshot_name(MODEL, 0)
    repository.retire([old])
    trust = rooted()
    assert trust.get(old).blob.length > 0
    assert any("%2Barchive-0" in name for name in asked(server))


def test_what_no_one_signed_is_unknown(rooted: Rooted) -> None:
    assert rooted().find(snapshot_name(MODEL, 99)) is None
    with pytest.raises(UnknownTarget, match=r"99\.snapshot"):
        rooted().get(snapshot_name(MODEL, 99))
    with pytest.raises(UnknownTarget):
        rooted().get(snapshot_name("dictation", 3))


@pytest.mark.parametrize("hashes", [{"sha512": "a" * 128}, {"sha256": "A" * 64}, {"sha256": "../" + "a" * 61}])
def test_a_target_without_a_sound_sha256_is_refused(
    rooted: Rooted, repository: Repository, hashes: dict[str, str]
) -> None:
    repository.named[DIFF].hashes = hashes
    repository.publish()
    with pytest.raises(ManifestError, match="SHA-256"):
        rooted().get(DIFF)


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp"])
def test_keys_may_change(rooted: Rooted, repository: Repository, role: str) -> None:
    rooted()
    for _ in range(3):
        repository.rotate(role)
    assert rooted().get(DIFF)
    assert rooted.kept()["root.json"] == repository.files["4.root.json"]


# What is kept


def test_every_file_is_on_the_disk_before_it_is_relied_on(rooted: Rooted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing gets its final name before its bytes are synced, and every rename is followed by a sync of its folder."""
    done: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def syncing(descriptor: int) -> None:
        fsync(descriptor)
        done.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name))

    def renaming(source: Any, target: Any) -> None:
        assert done[-1] == ("sync", Path(source).name)
        replace(source, target)
        done.append(("rename", Path(target).name))

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", renaming)
    rooted().get(DIFF)
    renamed = [name for act, name in done if act == "rename"]
    assert renamed == ["latest", "timestamp.json", "snapshot.json", "targets.json", f"{MODEL}.json"]
    assert all(
        done[number + 1] == ("sync", rooted.folder.name) for number, (act, _) in enumerate(done) if act == "rename"
    )


def test_nothing_is_written_where_nothing_is_new(rooted: Rooted, monkeypatch: pytest.MonkeyPatch) -> None:
    rooted().get(DIFF)
    monkeypatch.setattr(durable, "write_file", lambda *_: pytest.fail("a file was written"))
    rooted().get(DIFF)


def test_what_python_tuf_calls_is_what_is_overridden() -> None:
    overridden = [
        name for name in vars(durable_updater.DurableUpdater) if name.startswith("_") and not name.startswith("__")
    ]
    own = {"_latest", "_require_short", "_abc_impl"}
    assert {name for name in overridden if name not in own} <= set(vars(Updater))


@pytest.mark.parametrize("lost", ["timestamp.json", "snapshot.json", "targets.json", f"{MODEL}.json", "latest"])
@pytest.mark.parametrize("torn", [None, b"", b"{\x00\x00"])
def test_files_that_are_lost_or_torn_are_fetched_again(rooted: Rooted, lost: str, torn: bytes | None) -> None:
    rooted().get(DIFF)
    if torn is None:
        (rooted.folder / lost).unlink()
    else:
        (rooted.folder / lost).write_bytes(torn)
    assert rooted().get(DIFF)


def test_a_disk_that_does_not_give_a_file_back_is_not_taken_for_an_empty_one(
    rooted: Rooted, repository: Repository
) -> None:
    """Or one bad read would make the device forget what it must not go back behind."""
    rooted()
    (rooted.folder / "timestamp.json").unlink()
    (rooted.folder / "timestamp.json").mkdir()
    with pytest.raises(StoreFailed):
        rooted()


# Roots


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"[" * 100_000, b"\xff", b'{"signed": {"_type": "root"}}'])
def test_what_is_no_root_is_not_planted(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(NoRoot):
        plant_root(tmp_path / "trust", data)
    assert not (tmp_path / "trust").exists()


def test_a_root_must_vouch_for_itself(tmp_path: Path, repository: Repository) -> None:
    repository.signers["root"] = [CryptoSigner.generate_ed25519()]
    repository.serve("root")
    with pytest.raises(NoRoot, match="sign"):
        plant_root(tmp_path / "trust", repository.first_root)


def test_other_metadata_is_no_root(tmp_path: Path, repository: Repository) -> None:
    with pytest.raises(NoRoot):
        plant_root(tmp_path / "trust", repository.files["timestamp.json"])


def test_without_a_root_nothing_is_trusted(tmp_path: Path, server: ScriptedServer) -> None:
    with pytest.raises(NoRoot, match="--root"):
        Trust(tmp_path / "nowhere", [server.url], Transport(IMPATIENT))


def test_another_root_makes_a_device_forget(rooted: Rooted) -> None:
    rooted()
    other = Repository(MODEL)
    plant_root(rooted.folder, other.first_root)
    assert rooted.kept() == {"root.json": other.first_root}
    with pytest.raises(BadSignature):
        rooted()


# Lies: what a server does, and what it is called


def swap(name: str, other: str) -> Callable[[Repository], None]:
    def lie(repository: Repository) -> None:
        repository.files[name.format(**versions(repository))] = repository.files[other.format(**versions(repository))]

    return lie


def versions(repository: Repository) -> dict[str, int]:
    return {role.replace("+", "_"): data.signed.version for role, data in repository.metadata.items()}


def forged(role: str) -> Callable[[Repository], None]:
    """A role signed by a key that no one vouched for."""

    def lie(repository: Repository) -> None:
        repository.signers[role] = [CryptoSigner.generate_ed25519()]
        repository.publish()

    return lie


def expired(role: str) -> Callable[[Repository], None]:
    return lambda repository: repository.expire(role)


def altered(name: str, old: bytes, new: bytes) -> Callable[[Repository], None]:
    def lie(repository: Repository) -> None:
        repository.publish()
        path = name.format(**versions(repository))
        assert old in repository.files[path]
        repository.files[path] = repository.files[path].replace(old, new)

    return lie


def missing(name: str) -> Callable[[Repository], None]:
    def lie(repository: Repository) -> None:
        repository.publish()
        del repository.files[name.format(**versions(repository))]

    return lie


def older(role: str) -> Callable[[Repository], None]:
    """A role under a version number lower than before, properly signed: its online key was stolen."""

    def lie(repository: Repository) -> None:
        repository.metadata[role].signed.version -= 2
        repository.write(role, bump=0)
        for online in ("snapshot", "timestamp")[("x", "snapshot", "timestamp").index(role) if role != MODEL else 0 :]:
            repository.write(online)

    return lie


def forgetful(repository: Repository) -> None:
    """A snapshot that knows nothing of a role that it knew."""
    del repository.metadata["snapshot"].signed.meta[f"{MODEL}.json"]
    repository.metadata["snapshot"].signed.version += 1
    repository.serve("snapshot")
    repository.write("timestamp")


def mixed(repository: Repository) -> None:
    """The model's role of one time under the snapshot of another."""
    repository.publish()
    now = versions(repository)[MODEL]
    repository.files[f"{now}.{MODEL}.json"] = repository.files[f"{now - 1}.{MODEL}.json"]


def garbage(name: str, data: bytes) -> Callable[[Repository], None]:
    def lie(repository: Repository) -> None:
        repository.publish()
        repository.files[name.format(**versions(repository))] = data

    return lie


ROLE = f"{{{MODEL}}}.{MODEL}.json"
LIES: list[tuple[str, type[DiffClientError], Callable[[Repository], None]]] = [
    ("timestamp of another key", BadSignature, forged("timestamp")),
    ("snapshot of another key", BadSignature, forged("snapshot")),
    ("role of another key", BadSignature, forged(MODEL)),
    ("role altered", BadSignature, altered(ROLE, b'"sparse"', b'"hashed"')),
    ("timestamp expired", MetadataExpired, expired("timestamp")),
    ("snapshot expired", MetadataExpired, expired("snapshot")),
    ("targets expired", MetadataExpired, expired("targets")),
    ("role expired", MetadataExpired, expired(MODEL)),
    ("timestamp older", MetadataRolledBack, older("timestamp")),
    ("snapshot older", MetadataRolledBack, older("snapshot")),
    ("role older", MetadataRolledBack, older(MODEL)),
    ("role forgotten", MetadataRolledBack, forgetful),
    ("role of another time", MetadataMismatch, mixed),
    ("snapshot for a timestamp", MetadataMismatch, swap("timestamp.json", "{snapshot}.snapshot.json")),
    ("timestamp not JSON", MetadataMalformed, garbage("timestamp.json", b"<html>")),
    ("timestamp deep", MetadataMalformed, garbage("timestamp.json", b"[" * 16_000)),
    ("timestamp a number", MetadataMalformed, garbage("timestamp.json", b"9" * 5000)),
    ("timestamp empty", MetadataMalformed, garbage("timestamp.json", b"")),
    ("snapshot empty", MetadataMalformed, garbage("{snapshot}.snapshot.json", b"{}")),
    ("role a list", MetadataMalformed, garbage(ROLE, b"[]")),
    ("root not JSON", MetadataMalformed, garbage("2.root.json", b"welcome to the hotel")),
    ("timestamp long", MetadataTooLong, garbage("timestamp.json", b" " * 16_385)),
    ("snapshot long", MetadataTooLong, garbage("{snapshot}.snapshot.json", b" " * 2_000_001)),
    ("snapshot gone", ServerRefused, missing("{snapshot}.snapshot.json")),
    ("timestamp gone", ServerRefused, missing("timestamp.json")),
]


@pytest.mark.parametrize(("error", "lie"), [row[1:] for row in LIES], ids=[row[0] for row in LIES])
def test_a_lie_has_a_name_and_is_not_kept(
    rooted: Rooted, repository: Repository, error: type[DiffClientError], lie: Callable[[Repository], None]
) -> None:
    for _ in range(3):
        repository.publish()
    rooted().get(DIFF)
    before = rooted.kept()[f"{MODEL}.json"]
    lie(repository)
    with pytest.raises(DiffClientError) as raised:
        rooted().get(DIFF)
    assert type(raised.value) is error, raised.value
    assert rooted.kept()[f"{MODEL}.json"] == before


@pytest.mark.parametrize("name", ["timestamp.json", ".snapshot.json", f"{MODEL}.json", "2.root.json"])
def test_endless_metadata(rooted: Rooted, server: ScriptedServer, repository: Repository, name: str) -> None:
    repository.write("root")
    server.fault(name, scripted_server.spill)
    with pytest.raises(MetadataTooLong):
        rooted().get(DIFF)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (scripted_server.refuse(500), ServerBusy),
        (scripted_server.vanish(0.5), ServerUnreachable),
        (scripted_server.refuse(401), ServerRefused),
        (scripted_server.redirect, DiffClientError),
    ],
    ids=["fails", "breaks off", "refuses", "redirects"],
)
def test_a_server_out_of_order(
    rooted: Rooted, server: ScriptedServer, fault: scripted_server.Fault, error: type[DiffClientError]
) -> None:
    rooted()
    server.fault("timestamp.json", fault)
    with pytest.raises(error):
        rooted()
    server.heal()
    rooted()


def test_a_root_that_skips_a_version_is_no_successor(rooted: Rooted, repository: Repository) -> None:
    repository.write("root")
    repository.write("root")
    repository.files["2.root.json"] = repository.files["3.root.json"]
    with pytest.raises(MetadataMismatch):
        rooted()


# Clocks


class At(datetime):
    """A clock that a test sets."""

    shift = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + cls.shift


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[At]]:
    from tuf.ngclient._internal import trusted_metadata_set

    class Module:
        datetime, timezone = At, trusted_metadata_set.datetime.timezone

    monkeypatch.setattr(trusted_metadata_set, "datetime", Module)
    yield At
    At.shift = timedelta()


@pytest.mark.parametrize("back", [timedelta(days=4.1), timedelta(days=-1000)], ids=["a day", "to before this client"])
def test_a_clock_that_is_set_back_makes_nothing_valid_again(
    rooted: Rooted, repository: Repository, clock: type[At], back: timedelta
) -> None:
    rooted()
    repository.metadata["timestamp"].signed.expires = datetime.now(UTC) + timedelta(days=6)
    repository.write("timestamp")
    clock.shift = timedelta(days=5)
    rooted()  # remembers that it has been that late
    repository.metadata["timestamp"].signed.expires = datetime.now(UTC) + timedelta(days=3)
    repository.write("timestamp")
    clock.shift = back
    with pytest.raises(MetadataExpired, match="check the clock"):
        rooted()


def test_a_clock_that_stands_still_since_1970_is_no_reason_to_stop(rooted: Rooted, clock: type[At]) -> None:
    clock.shift = datetime(1970, 1, 1, tzinfo=UTC) - datetime.now(UTC)
    rooted()


def test_a_clock_that_is_far_ahead_leaves_no_trace(rooted: Rooted, clock: type[At]) -> None:
    clock.shift = timedelta(days=10_000)
    with pytest.raises(MetadataExpired):
        rooted()
    clock.shift = timedelta()
    rooted()


def test_a_clock_that_was_far_ahead_with_the_servers_binds_nobody(
    rooted: Rooted, repository: Repository, clock: type[At]
) -> None:
    """Both were 20 days ahead for one poll, and are right again: so is the metadata that is signed from now on."""
    ahead = timedelta(days=20)
    repository.metadata["timestamp"].signed.expires += ahead
    repository.write("timestamp")
    clock.shift = ahead
    rooted()
    clock.shift = timedelta()
    with pytest.raises(ValidTooLong, match="the server's clock is ahead, or was"):
        rooted()  # what was signed then, kept here
    repository.mend()
    repository.write("timestamp")
    rooted()


def test_a_timestamp_for_longer_than_any_server_gives_is_refused_and_not_kept(
    rooted: Rooted, repository: Repository, tmp_path: Path
) -> None:
    rooted()
    kept = sorted((path.name, path.read_bytes()) for path in tmp_path.rglob("*.json"))
    repository.metadata["timestamp"].signed.expires += timedelta(days=7)
    repository.write("timestamp")
    with pytest.raises(ValidTooLong):
        rooted()
    assert sorted((path.name, path.read_bytes()) for path in tmp_path.rglob("*.json")) == kept
    repository.mend()
    repository.write("timestamp")
    rooted()


# Mirrors


def test_a_mirror_stands_in_for_a_server_that_cannot_be_reached(
    rooted: Rooted, server: ScriptedServer, lineage: Lineage
) -> None:
    assert rooted("http://127.0.0.1:1", server.url).get(DIFF)


def test_a_mirror_is_not_asked_where_the_server_refuses(
    rooted: Rooted, server: ScriptedServer, lineage: Lineage
) -> None:
    mirror = ScriptedServer(lineage)
    server.fault("timestamp.json", scripted_server.refuse(403))
    with pytest.raises(ServerRefused):
        rooted(server.url, mirror.url)
    assert mirror.seen == []
    mirror.close()
