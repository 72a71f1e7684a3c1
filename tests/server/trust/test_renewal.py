import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from diffserver.storage import leases
from diffserver.storage.database import now, reading, writing
from diffserver.storage.tables import RoleMetadata
from diffserver.trust import metadata_rows
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.next_metadata import is_due
from diffserver.trust.renewal import Due, due, renew
from tests.server import factories
from tests.server.conftest import Service
from tests.server.trust.view import Device, in_force

DAY = timedelta(days=1)


@pytest.fixture
def service(service: Service) -> Service:
    """One whose own thread renews nothing any more: the tests are the replicas."""
    service.app.state.renewal.stop()
    return service


def age(service: Service, roles: Iterable[str]) -> None:
    """Let the rows say that these roles expire within the hour."""
    soon = datetime.now(UTC) + timedelta(hours=1)
    with writing(service.engine) as session:
        in_force = RoleMetadata.role.in_(list(roles)) & RoleMetadata.superseded_at.is_(None)
        session.execute(update(RoleMetadata).where(in_force).values(expires=soon))


def what_is_due(service: Service) -> Due:
    with reading(service.engine) as session:
        return due(session, service.keyring, now(session))


def versions(service: Service) -> dict[str, int]:
    with reading(service.engine) as session:
        return {role: version for role, version, _ in metadata_rows.expiries(session)}


@pytest.mark.parametrize(
    ("role", "left", "expected"),
    [
        ("timestamp", timedelta(hours=13), False),
        ("timestamp", timedelta(hours=12), True),
        ("timestamp", -DAY, True),
        ("timestamp", 2 * DAY, False),
        ("timestamp", 3 * DAY, True),  # signed when a clock was ahead: devices refuse what holds for so long
        ("snapshot", 300 * DAY, True),
        ("snapshot", 4 * DAY, False),
        ("snapshot", 3 * DAY, True),
        ("root", 61 * DAY, False),
        ("root", 59 * DAY, True),
        ("speech", 59 * DAY, True),
        ("speech+archive-3", 61 * DAY, False),
    ],
)
def test_when_metadata_is_due(role: str, left: timedelta, expected: bool) -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    assert is_due(role, moment + left, moment) is expected


def test_nothing_is_renewed_before_it_is_due(service: Service) -> None:
    service.publish_chain(1)
    before = versions(service)
    assert renew(service.engine, service.keyring, "replica") == Due((), ())
    assert versions(service) == before


@pytest.mark.parametrize(
    ("aged", "rewritten"),
    [
        (["timestamp"], {"timestamp"}),
        (["snapshot"], {"snapshot", "timestamp"}),
        (["root"], {"root", "snapshot", "timestamp"}),
        (["targets"], {"targets", "snapshot", "timestamp"}),
        (["speech+archive-0"], {"speech", "speech+archive", "speech+archive-0", "snapshot", "timestamp"}),
    ],
)
def test_what_is_due_is_signed_again_and_devices_follow(
    service: Service, tmp_path: Path, aged: list[str], rewritten: set[str]
) -> None:
    service.publish_chain(3)
    device = Device(service, tmp_path / "device")
    device.updater()
    before = versions(service)
    age(service, aged)
    assert set(renew(service.engine, service.keyring, "replica").here) == set(aged)
    after = versions(service)
    assert {role for role in after if after[role] != before[role]} == rewritten
    assert all(after[role] == before[role] + 1 for role in rewritten)
    assert what_is_due(service) == Due((), ())
    assert device.find("speech/v0/1.snapshot") is not None


def test_a_renewed_timestamp_costs_a_device_nothing_else(service: Service, tmp_path: Path) -> None:
    service.publish_chain(1)
    device = Device(service, tmp_path / "device")
    device.updater()
    age(service, ["timestamp"])
    renew(service.engine, service.keyring, "replica")
    device.updater()
    assert set(device.wire.bodies) == {"2.root.json", "timestamp.json"}


def test_of_replicas_one_renews(service: Service) -> None:
    service.publish_chain(0)
    age(service, ["timestamp"])
    assert leases.claim(service.engine, "renewal", "first", 60)
    assert renew(service.engine, service.keyring, "second").here == ()
    assert what_is_due(service).here == ("timestamp",)
    assert renew(service.engine, service.keyring, "first").here == ("timestamp",)
    assert renew(service.engine, service.keyring, "second").here == ()


def test_a_replica_that_died_is_replaced_when_its_lease_ends(service: Service) -> None:
    age(service, ["timestamp"])
    assert leases.claim(service.engine, "renewal", "dead", -1)
    assert renew(service.engine, service.keyring, "second").here == ("timestamp",)
    assert what_is_due(service).here == ()


RENEW = """
import sys
from pathlib import Path
from diffserver.storage.database import connect
from diffserver.trust.keys import Keyring
from diffserver.trust.renewal import renew
engine = connect(sys.argv[1])
engine.connect().close()
print("ready", flush=True)
sys.stdin.readline()
print(*renew(engine, Keyring(Path(sys.argv[2])), sys.argv[3]).here)
"""


def test_replicas_in_processes_of_their_own_write_one_timestamp(service: Service, database_url: str) -> None:
    service.publish_chain(0)
    age(service, ["timestamp"])
    before = in_force(service, "timestamp")["version"]
    command = [sys.executable, "-c", RENEW, database_url, str(service.settings.keys)]
    replicas = [
        subprocess.Popen([*command, f"r{n}"], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for n in range(3)
    ]
    for replica in replicas:
        assert replica.stdout is not None
        assert replica.stdout.readline() == "ready\n"
    printed = []
    for replica in replicas:
        assert replica.stdin is not None
        replica.stdin.write("go\n")
        replica.stdin.flush()
    printed = [replica.communicate()[0].split() for replica in replicas]
    assert [replica.returncode for replica in replicas] == [0, 0, 0]
    assert sorted(printed) == [[], [], ["timestamp"]]
    service.app.state.memory.hear(service.engine)  # as it does by itself once a second
    assert in_force(service, "timestamp")["version"] == before + 1


def test_keys_that_are_elsewhere_are_told_and_the_rest_is_renewed(service: Service) -> None:
    (service.settings.keys / "offline").rename(service.settings.home / "elsewhere")
    age(service, ["root", "targets", "timestamp"])
    due = renew(service.engine, service.keyring, "replica")
    assert (due.here, set(due.elsewhere)) == (("timestamp",), {"root", "targets"})
    assert versions(service)["root"] == 1


def test_a_replica_without_keys_renews_nothing(service: Service, tmp_path: Path) -> None:
    age(service, ["timestamp"])
    due = renew(service.engine, Keyring(tmp_path / "nothing"), "replica")
    assert due == Due((), ("timestamp",))


def test_a_server_renews_as_soon_as_it_starts(service: Service) -> None:
    age(service, ["timestamp"])
    before = versions(service)["timestamp"]
    with TestClient(service.app):
        deadline = time.monotonic() + 30
        while versions(service)["timestamp"] == before and time.monotonic() < deadline:
            time.sleep(0.02)
    assert versions(service)["timestamp"] == before + 1
    assert [line["roles"] for line in service.logged() if line["event"] == "metadata renewed"] == [["timestamp"]]


def test_superseded_metadata_goes_after_a_week_and_roots_stay(service: Service) -> None:
    service.publish_chain(2)
    age(service, ["root"])
    renew(service.engine, service.keyring, "replica")
    with writing(service.engine) as session:
        long_ago = datetime.now(UTC) - metadata_rows.RETENTION - DAY
        old = update(RoleMetadata).where(RoleMetadata.superseded_at.is_not(None)).values(superseded_at=long_ago)
        session.execute(old)
        metadata_rows.prune(session, now(session))
        kept = {(role, version) for role, version, _ in metadata_rows.expiries(session)}
        for role, version in [("root", 1), *kept]:
            assert metadata_rows.read(session, role, version) is not None
        assert metadata_rows.read(session, "speech", 1) is None
    service.publish(factories.update("v2", "v3", 3))


@pytest.mark.parametrize("same", [True, False])
def test_a_lease_is_one_holders_until_it_ends(service: Service, same: bool) -> None:
    assert leases.claim(service.engine, "work", "one", 60)
    assert leases.claim(service.engine, "work", "one" if same else "two", 60) is same
    leases.release(service.engine, "work", "two")
    assert not leases.claim(service.engine, "work", "three", 60)
    leases.release(service.engine, "work", "one")
    assert leases.claim(service.engine, "work", "three", 60)
    assert leases.claim(service.engine, "other work", "one", 60)
