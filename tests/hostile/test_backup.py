"""A server that is lost and restored from a backup: every device accepts it, wherever it was, and nothing less does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from diffclient.errors import MetadataRolledBack, UpdateFailed
from diffserver.storage import migrate
from diffserver.storage.copy_rows import copy_rows, one_moment
from tests.client.lineage import CLASSIFIER, MODEL, Lineage
from tests.hostile.home_server import HomeServer
from tests.hostile.real_device import Device, enrolled
from tests.server.conftest import Databases, closing_engine, databases, postgresql, sqlite

__all__ = ["databases", "postgresql", "sqlite"]


@dataclass(frozen=True)
class Site:
    """A server that will be lost, what was backed up of it, and who depends on it."""

    home: HomeServer
    databases: Databases
    folder: Path

    @property
    def backups(self) -> Path:
        return self.folder / "backups"

    def device(self, operator: httpx2.Client, name: str, model: str = MODEL) -> Device:
        """A device that is enrolled and has what its channel says."""
        return enrolled(self.home, operator, name, model)

    def elsewhere(self, name: str = "elsewhere") -> HomeServer:
        """A home that is not there yet, with an empty database, which the same operator will have."""
        environment = {"DIFFSERVER_DATABASE": self.databases.new()}
        return HomeServer(self.folder / name, self.home.lineage, environment, self.home.operator)

    def restored(self) -> tuple[HomeServer, Any]:
        """The latest backup on another machine, and what the command said."""
        home = self.elsewhere()
        return home, home.run("restore", str(self.backups))


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    return Lineage(tmp_path_factory.mktemp("lineage"), CLASSIFIER).grow(4)


@pytest.fixture
def site(tmp_path: Path, lineage: Lineage, databases: Databases) -> Site:
    """Versions 0 and 1 are published: there is no archive yet."""
    home = HomeServer(tmp_path / "home", lineage, {"DIFFSERVER_DATABASE": databases.new()})
    home.publish(0, 1)
    return Site(home, databases, tmp_path)


def publish(operator: httpx2.Client, candidate: int) -> int:
    """Publish a candidate; returns the version's number."""
    answer = operator.post(f"/v1/candidates/{candidate}/publish", json={})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["number"])


def numbers(devices: Sequence[Device], operator: httpx2.Client) -> list[int | None]:
    """The versions that devices have after they polled."""
    for device in devices:
        device.update(operator)
    return [device.number for device in devices]


@contextmanager
def ahead(site: Site) -> Iterator[list[Device]]:
    """Devices at several versions: of two that were published after the backup, and of the one before."""
    waiting = site.home.record(2).id
    with site.home.serving() as operator:
        first, second, third = (site.device(operator, name) for name in ("first", "second", "third"))
        site.home.run("backup", str(site.backups), "--with-keys")
        assert publish(operator, waiting) == 2
        assert numbers([first, second], operator) == [2, 2]
        site.home.publish(3)
        assert numbers([first], operator) == [3]
    yield [first, second, third]


def test_devices_ahead_of_a_backup_accept_what_was_restored_and_go_on(site: Site) -> None:
    with ahead(site) as devices:
        home, told = site.restored()
        assert told["to_sign"] == []
        with home.serving() as operator:
            assert numbers(devices, operator) == [1, 1, 1]
            number = publish(operator, 3)  # from a candidate of the backup: what had been version 2
            assert number == told["next_numbers"][MODEL] > 3
            assert numbers([*devices, site.device(operator, "new")], operator) == [number] * 4
        assert home.run("verify")["damaged"] == 0


def test_an_old_copy_of_the_database_is_refused(site: Site) -> None:
    with ahead(site) as (first, second, third):
        plain = site.elsewhere()
        plain.folder.mkdir()
        (database,) = site.backups.glob("2*/database.db")
        with closing_engine(f"sqlite:///{database}") as old:
            migrate.upgrade(plain.engine)
            with one_moment(old) as source, plain.engine.execution_options(writes=True).begin() as target:
                copy_rows(source, target)
        for part in ("keys", "objects"):
            shutil.copytree(site.home.folder / part, plain.folder / part)
        with plain.serving() as operator:
            for device in (first, second):
                with pytest.raises(UpdateFailed) as refused:
                    device.update(operator)
                assert isinstance(refused.value.cause, MetadataRolledBack)
            assert third.update(operator).action == "none"
        assert (first.number, second.number) == (3, 2)


@dataclass(frozen=True)
class Person:
    """Who holds a model's key, on a machine of their own."""

    keys: Path
    token: str

    def types(self, operator: httpx2.Client, *words: str, status: int = 0) -> str:
        """Run a command with the keys; returns what it printed."""
        environment = {"DIFFSERVER_URL": str(operator.base_url), "DIFFSERVER_TOKEN": self.token}
        command = [sys.executable, "-m", "diffserver", *words, "--keys", str(self.keys), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr


@pytest.fixture
def person(site: Site, tmp_path: Path) -> Person:
    """The holder of the key of the site's model."""
    person = Person(tmp_path / "person", site.home.operator)
    with site.home.serving() as operator:
        person.types(operator, "keys", "create", "release")
        request = str(tmp_path / "request.json")
        site.home.run("keys", "rotate", MODEL, "--public", str(person.keys / "release.key.json"), "--out", request)
        person.types(operator, "keys", "trust", str(site.home.folder / "root.json"))
        person.types(operator, "keys", "sign", request)
        site.home.run("keys", "submit", request)
    return person


def test_a_model_whose_key_is_elsewhere_is_signed_by_its_operator_and_stops_no_other(
    site: Site, person: Person, tmp_path: Path
) -> None:
    other = Lineage(tmp_path / "other", CLASSIFIER, seed=1, model="other").grow(2)
    beside = HomeServer(site.home.folder, other, site.home.environment, site.home.operator)
    beside.publish(0)
    waiting = site.home.record(2).id
    with site.home.serving() as operator:
        mine, near, others = (site.device(operator, *who) for who in (["mine"], ["near"], ["others", "other"]))
        site.home.run("backup", str(site.backups), "--with-keys")
        person.types(operator, "publish", str(waiting))
        beside.publish(1)
        assert numbers([mine, near, others], operator) == [2, 2, 1]
        person.types(operator, "publish", str(site.home.record(3).id))
        assert numbers([mine], operator) == [3]

    home, told = site.restored()
    assert told["to_sign"] == [MODEL]
    with home.serving() as operator:
        assert numbers([others], operator) == [0]
        for device in (mine, near):
            with pytest.raises(UpdateFailed):
                device.update(operator)
        assert f"renew {MODEL} --restored" in person.types(operator, "publish", str(waiting), status=1)
        assert "pass --restored" in person.types(operator, "renew", MODEL, status=1)
        person.types(operator, "renew", MODEL, "--restored")
        assert numbers([mine, near], operator) == [1, 1]
        number = json.loads(person.types(operator, "publish", str(waiting)))["number"]
        assert numbers([mine, near, site.device(operator, "new")], operator) == [number] * 3
