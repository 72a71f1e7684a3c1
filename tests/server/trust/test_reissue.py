"""Signing again after a restored backup, as devices see it; rows go back in the same database."""

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tuf.api.exceptions import RepositoryError

from diffserver.catalog import versions
from diffserver.errors import KeyMissing
from diffserver.storage import migrate
from diffserver.storage.copy_rows import clear, copy_rows, one_moment
from diffserver.storage.database import now, reading, writing
from diffserver.trust import key_changes, metadata_rows, releases
from diffserver.trust.admit_model import ONLINE
from diffserver.trust.keys import Keyring, create
from diffserver.trust.metadata.delegation import Holders
from diffserver.trust.reissue import MARGIN, Reissued, reissue
from diffserver.trust.signing_requests import submit
from tests.server import factories
from tests.server.conftest import Service, closing_engine, record
from tests.server.trust.view import Device, in_force


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Engine]:
    with closing_engine(f"sqlite:///{tmp_path / 'copy.db'}") as engine:
        migrate.upgrade(engine)
        yield engine


def keep(service: Service, copy: Engine) -> None:
    """Copy all rows."""
    with one_moment(service.engine) as source, copy.execution_options(writes=True).begin() as target:
        copy_rows(source, target)


def go_back(service: Service, copy: Engine, elapsed: timedelta = timedelta(hours=5)) -> Reissued:
    """Put the copied rows in place and sign again, as if the copy were so old."""
    with one_moment(copy) as source, service.engine.execution_options(writes=True).begin() as target:
        clear(target)
        copy_rows(source, target)
    service.app.state.memory.forget()  # as a server that was stopped meanwhile
    with writing(service.engine) as session:
        return reissue(session, service.keyring, now(session) - elapsed)


def test_all_roles_go_on_above_what_may_have_been_signed(service: Service, copy: Engine, tmp_path: Path) -> None:
    service.publish_chain(2)
    keep(service, copy)
    before = in_force(service, "timestamp")["version"]
    done = go_back(service, copy)
    assert done.least >= before + 5 * 3600 + MARGIN
    assert (done.next_numbers, done.elsewhere) == ({"speech": 3 + 5 + 16}, ())
    for role in ("targets", "speech", "speech+archive", "speech+archive-0"):
        assert in_force(service, role)["version"] == done.least
    assert in_force(service, "snapshot")["version"] == done.least + 1
    permission = Device(service, tmp_path / "device").find("speech/v0/2.downgrade")
    assert permission is not None
    assert permission.custom["diffserver"]["below"] == 23


def test_a_device_that_saw_an_archive_which_is_gone_goes_on(service: Service, copy: Engine, tmp_path: Path) -> None:
    service.publish_chain(1)
    keep(service, copy)
    for number in (2, 3):
        service.publish(factories.update(f"v{number - 1}", f"v{number}", number))
    device = Device(service, tmp_path / "device")
    assert device.find("speech/v0/0.snapshot"), "from the archive"
    go_back(service, copy)
    assert device.find("speech/v0/1.snapshot")
    assert device.find("speech/v0/3.snapshot") is None


def publish_again(service: Service) -> None:
    service.publish(factories.base("lost"))


def rotate_online(service: Service) -> None:
    holders = Holders((create(service.settings.keys / ONLINE, "online-2").public,))
    with writing(service.engine) as session:
        lookup, moment = metadata_rows.CurrentMetadata(session).get, now(session)
        request = key_changes.rotate_top(lookup, ONLINE, holders, moment)
        request.sign(service.keyring)
        submit(session, request, service.keyring, moment)


@pytest.mark.parametrize("remedy", [publish_again, rotate_online])
def test_a_model_that_is_gone_comes_back_or_is_forgotten_with_the_online_key(
    service: Service, copy: Engine, tmp_path: Path, remedy: Callable[[Service], None]
) -> None:
    service.publish_chain(1)
    keep(service, copy)
    publish_again(service)
    device = Device(service, tmp_path / "device")
    assert device.find("lost/v0/0.snapshot")
    go_back(service, copy)
    with pytest.raises(RepositoryError, match=r"missing info for 'lost\.json'"):
        device.updater()
    remedy(service)
    assert device.find("speech/v0/1.snapshot")


def test_a_candidate_of_the_backup_gets_the_next_number(service: Service, copy: Engine) -> None:
    service.publish_chain(1)
    waiting = record(service.engine, factories.update("v1", "v2", 2))
    keep(service, copy)
    number = go_back(service, copy).next_numbers["speech"]
    with writing(service.engine) as session:
        version = releases.publish(session, service.keyring, waiting.id)
        assert (version.number, version.candidate.manifest["to_version"]) == (number, number)
        assert versions.next_number(session, "speech") == number + 1


def test_targets_whose_key_is_elsewhere_stay_and_are_renewed_above_the_rest(
    service: Service, copy: Engine, tmp_path: Path
) -> None:
    service.publish_chain(1)
    keep(service, copy)
    before = in_force(service, "targets")["version"]
    shutil.move(service.settings.keys / "offline", tmp_path / "offline")
    done = go_back(service, copy)
    assert (done.elsewhere, in_force(service, "targets")["version"]) == (("targets",), before)
    with writing(service.engine) as session:
        lookup, moment = metadata_rows.CurrentMetadata(session).get, now(session)
        request = key_changes.renew_top(lookup, moment)
        request.sign(Keyring(tmp_path / "offline"))
        submit(session, request, service.keyring, moment)
    assert in_force(service, "targets")["version"] == done.least


def test_without_the_online_key_nothing_is_signed(service: Service, copy: Engine, tmp_path: Path) -> None:
    service.publish_chain(1)
    shutil.move(service.settings.keys / "online", tmp_path / "online")
    with pytest.raises(KeyMissing, match="no key of snapshot and timestamp"), writing(service.engine) as session:
        reissue(session, service.keyring, now(session))
    with reading(service.engine) as session:
        assert versions.next_number(session, "speech") == 2
