"""A server that sends a byte now and then: each request ends, what arrived is kept, and the failure is recorded."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diffclient.errors import InferenceError, TooSlow, UpdateFailed
from diffclient.network.pace import Pace
from diffclient.network.transport import Patience, Transport
from diffclient.store.policy import Policy
from diffclient.store.store import Store
from tests.client import conftest
from tests.client.cli.test_main import ROOT, SCORE, Cli
from tests.client.conftest import IMPATIENT, Device
from tests.client.lineage import Lineage
from tests.client.scripted_server import Reply, ScriptedServer
from tests.hostile.devices import drip_server
from tests.hostile.devices.drip_server import WAYS, DripServer, Way

PATIENCE = 0.5
LONGEST = 20
"""Seconds of patience in these tests, and in which an update has to end, on a busy machine too."""


@pytest.fixture
def drip(server: ScriptedServer) -> Iterator[DripServer]:
    running = DripServer(server)
    yield running
    running.close()


@pytest.fixture
def dripping(drip: DripServer, enrolled: Cli) -> Cli:
    """A device that asks the drip server, with little patience."""
    store = Store(enrolled.store)
    store.enroll(replace(store.enrolment(), server=drip.url))
    store.allow(Policy(patience=PATIENCE, least_speed=1000))
    return enrolled


def update(device: Cli, *options: str) -> tuple[int, Any, float]:
    """Exit code, what was told, seconds."""
    began = time.monotonic()
    code, told, _ = device("update", *SCORE, *options)
    return code, told, time.monotonic() - began


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(
    ("path", "stage"), [("/device/poll", "poll"), ("timestamp.json", "trust"), ("/v1/blobs/", "download")]
)
def test_every_drip_ends_in_a_failure_that_is_recorded(
    drip: DripServer, device: Device, monkeypatch: pytest.MonkeyPatch, way: Way, path: str, stage: str
) -> None:
    monkeypatch.setattr(conftest, "IMPATIENT", replace(IMPATIENT, attempts=1, read_timeout=PATIENCE))
    device.store.enroll(replace(device.store.enrolment(), server=drip.url))
    drip.path, drip.way = path, way
    began = time.monotonic()
    with pytest.raises(UpdateFailed) as failed:
        device.update()
    assert (failed.value.stage, type(failed.value.cause)) == (stage, TooSlow)
    assert time.monotonic() - began < LONGEST
    failure = device.store.state().failure
    assert failure is not None
    assert (failure.stage, "is too slow" in failure.reason) == (stage, True)
    drip.way = drip_server.whole
    monkeypatch.setattr(conftest, "IMPATIENT", replace(IMPATIENT, read_timeout=LONGEST))  # the flood may not be over
    assert device.update().action == "installed"


@pytest.mark.parametrize(("path", "stage", "code"), [("/device/poll", "poll", 4), ("/v1/blobs/", "download", 4)])
def test_the_command_line_says_so(
    drip: DripServer, dripping: Cli, path: str, stage: str, code: int, lineage: Lineage
) -> None:
    drip.path, drip.way = path, drip_server.body
    found, told, seconds = update(dripping)
    assert (found, told["stage"], told["cause"], seconds < LONGEST) == (code, stage, "TooSlow", True)
    assert dripping("status")[1]["failure"]["stage"] == stage
    drip.way = drip_server.whole
    assert update(dripping)[1]["digest"] == lineage.digest(0)


def test_what_arrived_of_a_blob_is_kept(drip: DripServer, dripping: Cli, server: ScriptedServer) -> None:
    drip.path, drip.way = "/v1/blobs/", drip_server.half_a_body
    update(dripping)
    kept = sum(part.stat().st_size for part in (dripping.store / "downloads").iterdir())
    assert kept > 1000
    drip.way = drip_server.whole
    server.seen.clear()
    assert update(dripping)[1]["action"] == "installed"
    assert any(request.headers.get("range", "bytes=0-") != "bytes=0-" for request in server.seen)


def test_a_report_that_drips_waits_for_the_next_poll(
    drip: DripServer, dripping: Cli, server: ScriptedServer, lineage: Lineage
) -> None:
    drip.path, drip.way = "/device/reports", drip_server.status_line
    code, told, seconds = update(dripping)
    assert (code, told["digest"], seconds < LONGEST) == (0, lineage.digest(0), True)
    assert dripping("status")[1]["reports_waiting"] == 1
    drip.way = drip_server.whole
    update(dripping)
    assert dripping("status")[1]["reports_waiting"] == 0


def test_a_redirect_whose_body_never_ends_is_not_drained(drip: DripServer, dripping: Cli) -> None:
    drip.path, drip.way = "/v1/blobs/", drip_server.redirect
    code, told, seconds = update(dripping)
    assert (code, told["stage"], told["cause"], seconds < LONGEST) == (8, "download", "AnswerError", True)


def test_a_mirror_stands_in_for_a_server_that_drips(
    drip: DripServer, dripping: Cli, server: ScriptedServer, lineage: Lineage
) -> None:
    dripping("policy", "--mirror", server.url)
    drip.path, drip.way = "/v1/blobs/", drip_server.half_a_body
    assert update(dripping)[1]["digest"] == lineage.digest(0)


def test_an_update_ends_in_its_time_whatever_drips_at_whatever_speed(
    drip: DripServer, dripping: Cli, lineage: Lineage
) -> None:
    drip.path, drip.way = "/v1/blobs/", drip_server.body
    code, told, seconds = update(dripping, "--least-speed", "1", "--max-seconds", "2")
    assert (code, told["stage"], told["cause"], seconds < 10) == (4, "download", "TookTooLong", True)
    assert any((dripping.store / "downloads").iterdir())
    drip.way = drip_server.whole
    assert update(dripping)[1]["digest"] == lineage.digest(0)


@pytest.mark.parametrize("scorer", ["hang", "hang_and_blame_the_model"])
def test_a_scorer_that_hangs_ends_with_the_update(dripping: Cli, scorer: str) -> None:
    hanging = ["--score", f"tests.hostile.devices.test_drip:{scorer}"]
    began = time.monotonic()
    code, told, _ = dripping("update", *hanging, "--max-seconds", "2")
    assert (code, told["stage"], told["cause"]) == (3, "probation", "TookTooLong")
    assert time.monotonic() - began < 10
    assert dripping("status")[1]["unfit"] == []  # which is no verdict on the version
    assert dripping("update", *SCORE)[1]["action"] == "installed"


def hang(*_: object) -> None:
    time.sleep(600)


def hang_and_blame_the_model(*_: object) -> None:
    try:
        time.sleep(600)
    except Exception as error:
        raise InferenceError("the graph does not run") from error


def test_a_rollback_beside_a_hung_update_is_told_who_holds_the_store(
    drip: DripServer, dripping: Cli, lineage: Lineage, server: ScriptedServer
) -> None:
    for server.target in (0, 1):
        update(dripping)
    server.target = 2
    drip.path, drip.way = "/v1/blobs/", drip_server.body
    options = [*SCORE, "--least-speed", "1", "--max-seconds", "4", "--store", str(dripping.store)]
    command = [sys.executable, "-m", "diffclient", "update", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as hung:
        wait_for(dripping.store / "downloads")
        code, told, _ = dripping("rollback")
        assert (code, told["error"]) == (5, "StoreBusy")
        assert f"process {hung.pid}, since 20" in told["message"]
        assert hung.wait(30) == 4
    assert dripping("rollback")[1]["current"]["digest"] == lineage.digest(0)


def wait_for(downloads: Path) -> None:
    """Wait until something arrives."""
    for _ in range(600):
        if any(downloads.iterdir()):
            return
        time.sleep(0.05)
    raise AssertionError("nothing arrives")


def test_an_honest_server_may_be_slow(drip: DripServer, dripping: Cli, lineage: Lineage) -> None:
    """Slower than anybody likes, and faster than the least speed."""
    drip.path, drip.way = "/v1/blobs/", slowly
    assert update(dripping)[1]["digest"] == lineage.digest(0)


def slowly(reply: Reply, send: drip_server.Send, wait: Any) -> None:
    """A tenth of the body at a time."""
    send(drip_server.head(reply))
    step = len(reply.body) // 10 + 1
    for start in range(0, len(reply.body), step):
        send(reply.body[start : start + step])
        wait()


def test_a_name_that_is_looked_up_for_ever_takes_no_longer_than_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: time.sleep(30))
    transport, began = Transport(Patience(connect_timeout=0.2)), time.monotonic()
    with pytest.raises(Exception, match="cannot reach"), transport.open("GET", "http://models.example.org", {}):
        pass
    assert time.monotonic() - began < 5


def test_the_pace_is_that_of_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    pace = Pace(window=10, least=100)
    pace.begin("u", seconds=25)
    now[0] = 9
    assert pace.left() == 1
    pace.count(99)
    assert pace.left() == 1
    pace.count(1)
    assert pace.left() == 10
    now[0] = 18
    pace.count(500)
    assert pace.left() == 7
    now[0] = 25
    with pytest.raises(Exception, match="no whole answer in 25 s"):
        pace.left()
    pace.begin("u")
    now[0] = 35
    with pytest.raises(Exception, match="0 bytes of the answer in 10 s, 100 are the least"):
        pace.left()
