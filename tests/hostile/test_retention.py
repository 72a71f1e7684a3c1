"""Nothing grows without end: devices have quotas, what is old can be removed, and what devices need stays."""

from __future__ import annotations

import contextlib
import http.client
import os
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import DeclarativeBase

from diffclient.network.device_api import enroll
from diffclient.network.transport import Transport
from diffserver.catalog import training_queue
from diffserver.catalog.training_request import TrainingSpec
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Candidate, Device, Payload, Report, Step, Token, Training
from tests.client.lineage import CLASSIFIER, MODEL, Lineage
from tests.hostile.home_server import HomeServer, client, until

LONG_AGO = timedelta(days=1000)
REPORT = {"stage": "failed", "failed_stage": "download", "reason": "x" * 10_000}


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    return Lineage(tmp_path_factory.mktemp("lineage"), CLASSIFIER).grow(3)


@pytest.fixture
def home(tmp_path: Path, lineage: Lineage) -> HomeServer:
    home = HomeServer(tmp_path / "home", lineage)
    home.publish(0, 1, 2)
    return home


def count(home: HomeServer, table: type[DeclarativeBase]) -> int:
    with reading(home.engine) as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def age_everything(home: HomeServer) -> None:
    """Make all rows and objects as old as can be."""
    then = utc_now() - LONG_AGO
    with writing(home.engine) as session:
        for table in (Report, Candidate, Training, Token):
            session.execute(update(table).values(created_at=then))
        session.execute(update(Training).values(finished_at=then))
        session.execute(update(Token).where(Token.revoked_at.is_not(None)).values(revoked_at=then))
    for path in (home.folder / "objects").rglob("*"):
        os.utime(path, (then.timestamp(), then.timestamp()))


def test_a_device_that_reports_without_end_is_told_to_wait(home: HomeServer) -> None:
    with home.serving(DIFFSERVER_REPORTS_PER_HOUR="20") as operator:
        tokens = [
            operator.post("/v1/enroll", json={"model": MODEL, "name": name}).json()["token"] for name in ("a", "b")
        ]
        with client(str(operator.base_url), tokens[0]) as device:
            answers = [device.post("/v1/device/reports", json=REPORT) for _ in range(60)]
            assert Counter(answer.status_code for answer in answers) == {201: 20, 429: 40}
            assert 3500 < int(answers[-1].headers["Retry-After"]) <= 4500
            assert answers[-1].json()["detail"] == "a device may make 20 reports in an hour"
            assert device.post("/v1/device/poll", json={"digest": None}).status_code == 200
        with client(str(operator.base_url), tokens[1]) as other:
            assert other.post("/v1/device/reports", json=REPORT).status_code == 201
    assert count(home, Report) == 21


def fill(home: HomeServer) -> dict[str, str]:
    """All that grows: reports, devices, tokens, trainings, candidates, uploads; returns named objects."""
    home.record(3)
    upload, queued, young = (home.objects.put(f"{name} checkpoint".encode()).sha256 for name in ("an", "a", "the"))
    with writing(home.engine) as session:
        session.add_all(Device(id=f"{number:024x}", model=MODEL, name="d", channel="stable") for number in range(2))
        session.flush()
        session.add_all(
            Report(device_id=f"{number % 2:024x}", stage="failed", reason="x" * 100, downloaded_bytes=0)
            for number in range(20)
        )
        session.add(Token(role="enroll", name="old", sha256="0" * 64, revoked_at=utc_now()))
        session.execute(update(Device).values(last_seen=utc_now()))
        done = training_queue.submit(session, TrainingSpec("update", MODEL, "/data"))
        training_queue.cancel(session, done.id)
        session.add(Device(id="f" * 24, model=MODEL, name="gone", channel="stable", enrolled_at=utc_now() - LONG_AGO))
        session.flush()
        session.add(Token(role="device", name="gone", sha256="1" * 64, device_id="f" * 24))
        session.add(Report(device_id="f" * 24, stage="installed", downloaded_bytes=0))
        training_queue.submit(session, TrainingSpec("update", MODEL, "/data", checkpoint=queued, method="exact"))
    age_everything(home)
    os.utime(home.object(young))
    home.object(upload).with_name(f"{upload}#1").write_bytes(b"half")
    os.utime(home.object(upload).with_name(f"{upload}#1"), (0, 0))
    return {"upload": upload, "queued": queued, "young": young}


def test_what_is_old_goes_when_asked_to_and_what_is_needed_stays(home: HomeServer) -> None:
    named = fill(home)
    before = {table: count(home, table) for table in (Report, Device, Token, Training, Candidate, Payload, Step)}
    shown = home.run("prune")
    assert not shown["removed"]
    assert {name: found["count"] for name, found in shown["found"].items()} == {
        "reports": 18,
        "devices": 1,
        "tokens": 1,
        "trainings": 1,
        "audit": 0,
        "events": 0,
        "candidates": 1,
        # the candidate's snapshot and the upload; its graph and probes are those of versions
        "objects": 2,
        "unfinished files": 1,
    }
    assert shown["found"]["reports"]["bytes"] == 1800
    assert {table: count(home, table) for table in before} == before
    assert all(home.objects.exists(sha256) for sha256 in named.values())

    assert home.run("prune", "--yes") == shown | {"removed": True}
    assert (count(home, Report), count(home, Device), count(home, Training), count(home, Candidate)) == (2, 2, 1, 3)
    assert (count(home, Payload), count(home, Step)) == (before[Payload], before[Step])
    assert {name: home.objects.exists(sha256) for name, sha256 in named.items()} == {
        "upload": False,
        "queued": True,
        "young": True,
    }
    assert not any(found["count"] for found in home.run("prune")["found"].values())
    assert home.run("verify")["damaged"] == 0


@pytest.mark.parametrize("held", [None, 0, 1])
def test_a_device_is_led_to_the_latest_version_after_everything_old_went(home: HomeServer, held: int | None) -> None:
    age_everything(home)
    home.run("prune", "--yes")
    with home.serving() as operator:
        url = str(operator.base_url)
        token = enroll(Transport(), url, home.operator, model=MODEL, name="kitchen").token
        with client(url, token) as device:
            digest = None if held is None else home.lineage.digest(held)
            answer = device.post("/v1/device/poll", json={"digest": digest}).json()
            assert (answer["version"], len(answer["steps"])) == (2, 1 if held is None else 2 - held)
            for sha256 in blobs_of(home):
                assert device.get(f"/v1/blobs/{sha256}").status_code == 200


def blobs_of(home: HomeServer) -> set[str]:
    """All bytes that signed metadata names."""
    with reading(home.engine) as session:
        manifests: list[dict[str, Any]] = list(session.scalars(select(Step.manifest)))
    parts = [[one["payload"], one["graph"], *(probe["blob"] for probe in one["probes"])] for one in manifests]
    return {blob["sha256"] for blobs in parts for blob in blobs}


@contextlib.contextmanager
def half_an_upload(url: str, token: str) -> Iterator[None]:
    """An upload that has sent its first megabytes."""
    host, _, port = url.removeprefix("http://").strip("/").partition(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.putrequest("PUT", f"/v1/checkpoints/{'0' * 64}")
    for name, value in (("Authorization", f"Bearer {token}"), ("Content-Length", str(1 << 30))):
        connection.putheader(name, value)
    connection.endheaders(bytes(3 << 20))
    with contextlib.closing(connection):
        yield


def test_an_upload_whose_server_was_killed_is_swept_by_the_next(home: HomeServer, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    home.environment["TMPDIR"] = str(temporary)
    uploads = home.folder / "uploads"
    with contextlib.ExitStack() as upload, home.serving() as operator:  # the server is killed before the upload ends
        upload.enter_context(half_an_upload(str(operator.base_url), home.operator))
        until(lambda: any(path.stat().st_size > 1 << 20 for path in uploads.glob("*")))
    assert len(list(uploads.iterdir())) == 1
    with home.serving():
        assert list(uploads.iterdir()) == []
    assert list(temporary.iterdir()) == []


def test_an_upload_under_way_is_not_swept_by_another_server(home: HomeServer) -> None:
    uploads = home.folder / "uploads"
    with home.serving() as operator, half_an_upload(str(operator.base_url), home.operator):
        until(lambda: uploads.is_dir() and any(path.stat().st_size for path in uploads.glob("*")))
        with home.serving():
            pass
        home.run("prune", "--yes")
        assert len(list(uploads.iterdir())) == 1
