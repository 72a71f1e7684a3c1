"""A service for each test: its own migrated database (SQLite and PostgreSQL), objects in a folder, tokens."""

import io
import json
import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psycopg
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from diffserver.app import create_app
from diffserver.catalog import tokens, versions
from diffserver.catalog.candidate import NewCandidate
from diffserver.logs import make_log
from diffserver.main import app
from diffserver.settings import Settings
from diffserver.storage import migrate
from diffserver.storage.database import connect, writing
from diffserver.storage.object_store import Objects
from diffserver.storage.tables import METADATA, Candidate, Version
from diffserver.trust import releases
from diffserver.trust.bootstrap import establish
from diffserver.trust.keys import Keyring
from tests.server import factories
from tests.server.s3_server import BUCKET, environment, s3_server

if TYPE_CHECKING:
    from tests.server.points import PointsTask

Type = Callable[..., Any]
POSTGRES = "DIFFSERVER_TEST_POSTGRES"


@pytest.fixture(scope="session")
def points() -> "PointsTask":
    pytest.importorskip("torch", reason="training needs torch: pip install 'diffserver[train]'")
    from tests.server.points import PointsTask

    return PointsTask()


@dataclass(frozen=True)
class Service:
    """A running application, what it writes to, and clients with and without a token."""

    app: FastAPI
    settings: Settings
    engine: Engine
    objects: Objects
    lines: io.StringIO
    public: TestClient
    operator: TestClient

    def client(self, token: str) -> TestClient:
        return TestClient(self.app, headers={"Authorization": f"Bearer {token}"})

    def token(self, role: tokens.Role, name: str) -> str:
        with writing(self.engine) as session:
            return tokens.create(session, role, name)[1]

    def device(self, name: str = "kitchen") -> TestClient:
        answer = self.operator.post("/v1/enroll", json={"model": "speech", "name": name})
        assert answer.status_code == 201, answer.text
        return self.client(answer.json()["token"])

    @property
    def keyring(self) -> Keyring:
        return Keyring(self.settings.keys)

    def record(self, new: NewCandidate) -> Candidate:
        return record(self.engine, new)

    def publish(self, new: NewCandidate) -> Version:
        """Record and publish, signed with the server's keys."""
        candidate = self.record(new)
        with writing(self.engine) as session:
            return releases.publish(session, self.keyring, candidate.id, by="test")

    def publish_chain(self, count: int) -> list[Version]:
        """Version 0 and `count` sparse updates in a row, signed."""
        return [self.publish(new) for new in chain(count)]

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines.getvalue().splitlines()]


def record(engine: Engine, new: NewCandidate) -> Candidate:
    with writing(engine) as session:
        return versions.record_candidate(session, new)


def release(engine: Engine, new: NewCandidate, force: bool = False) -> Version:
    """Record and publish, without metadata."""
    candidate = record(engine, new)
    with writing(engine) as session:
        return versions.publish(session, candidate.id, force, by="test")


def publish_chain(engine: Engine, count: int) -> list[Version]:
    """Version 0 and `count` sparse updates in a row, of labels v0, v1 …"""
    return [release(engine, new) for new in chain(count)]


def chain(count: int) -> list[NewCandidate]:
    """Candidates for version 0 and `count` sparse updates in a row, of labels v0, v1 …"""
    return [factories.base(), *(factories.update(f"v{n - 1}", f"v{n}", n) for n in range(1, count + 1))]


@contextmanager
def closing_engine(url: str) -> Iterator[Engine]:
    """An engine whose connections are closed at the end of the block."""
    engine = connect(url)
    yield engine
    engine.dispose()


@dataclass(frozen=True)
class Databases:
    """Databases of one kind: new ones, and a migrated one without rows."""

    new: Callable[[], str]
    migrated: Callable[[], str]


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Databases:
    folder = tmp_path_factory.mktemp("sqlite")
    template = folder / "template.db"
    with closing_engine(f"sqlite:///{template}") as engine:
        migrate.upgrade(engine)

    def new() -> str:
        return f"sqlite:///{folder / secrets.token_hex(4)}.db"

    def copy() -> str:
        shutil.copy(template, (url := new()).removeprefix("sqlite:///"))
        return url

    return Databases(new, copy)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Databases]:
    server = os.environ.get(POSTGRES)
    if not server:
        pytest.skip(f"{POSTGRES} names no PostgreSQL server; `.ci/postgres start` starts one")
    created: list[str] = []
    with closing(psycopg.connect(server, autocommit=True)) as admin:

        def new() -> str:
            created.append(name := f"diffserver_test_{secrets.token_hex(6)}")
            admin.execute(f'CREATE DATABASE "{name}"'.encode())
            address, _, query = server.partition("?")
            url = f"{address.rpartition('/')[0]}/{name}?{query}"
            return Settings.from_environment({"DIFFSERVER_DATABASE": url}).database

        with closing_engine(new()) as shared:
            migrate.upgrade(shared)

            def emptied() -> str:
                # Faster by far than a database for each test.
                with writing(shared) as session:
                    session.execute(text(f"TRUNCATE {', '.join(METADATA.tables)} RESTART IDENTITY CASCADE"))
                    session.execute(text(f"UPDATE alembic_version SET version_num = '{migrate.latest()}'"))
                return shared.url.render_as_string(hide_password=False)

            yield Databases(new, emptied)
        for name in created:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest) -> Databases:
    server: Databases = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def database_url(databases: Databases) -> str:
    """A migrated database without rows, of each kind."""
    return databases.migrated()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    with closing_engine(database_url) as engine:
        yield engine


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Gives URLs of empty stores at an S3 server, which this process and those that it starts can use."""
    pytest.importorskip("moto", reason="the S3 server of the tests is moto's: pip install 'diffserver[dev]'")
    with s3_server(tmp_path_factory.mktemp("s3") / "log") as url, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(url).items():
            patch.setenv(name, value)
        yield lambda: f"s3://{BUCKET}/{secrets.token_hex(4)}"


@pytest.fixture
def objects_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store: a folder, unless a test asks for `s3` or `memory`."""
    kind = getattr(request, "param", "file")
    if kind == "s3":
        return str(request.getfixturevalue("s3")())
    return "memory://" if kind == "memory" else (tmp_path / "objects").as_uri()


@pytest.fixture
def settings(tmp_path: Path, database_url: str, objects_url: str) -> Settings:
    return replace(Settings.under(tmp_path), database=database_url, objects=objects_url)


@pytest.fixture
def service(settings: Settings, engine: Engine) -> Iterator[Service]:
    lines = io.StringIO()
    establish(engine, settings)
    served = create_app(settings, make_log(lines))
    with writing(engine) as session:
        _, secret = tokens.create(session, "admin", "anna")
    operator = TestClient(served, headers={"Authorization": f"Bearer {secret}"})
    # As of the process that serves: it hears at once of what changes here.
    told = engine.execution_options(on_change=served.state.memory.outdate)
    with TestClient(served) as public:
        yield Service(served, settings, told, Objects(settings.objects), lines, public, operator)


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    """The service behind a socket."""
    with listening(service.app, lifespan="off") as url:
        yield url


@contextmanager
def listening(app: FastAPI, lifespan: Literal["auto", "off"] = "auto") -> Iterator[str]:
    """Serve an app behind a socket; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan=lifespan))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def typed(service: Service, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    monkeypatch.setenv("DIFFSERVER_URL", url)
    monkeypatch.setenv("DIFFSERVER_TOKEN", service.operator.headers["Authorization"].removeprefix("Bearer "))

    def run(*arguments: object) -> Any:
        capsys.readouterr()
        app([*map(str, arguments), "--json"], standalone_mode=False)
        return json.loads(capsys.readouterr().out)

    return run
