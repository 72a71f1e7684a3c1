"""SIGTERM and Ctrl-C, wherever a device is: it ends within a second or so, whole, and says so."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from diffclient.store.store import Store
from tests.client import scripted_server
from tests.client.cli.test_main import ROOT, SCORE, Cli
from tests.client.lineage import Lineage
from tests.client.scripted_server import ScriptedServer
from tests.hostile.devices import drip_server
from tests.hostile.devices.drip_server import DripServer

SOON = 3.0
"""Seconds in which a process that is stopped has to be gone; one is promised, and this machine may be busy."""


@pytest.fixture
def drip(server: ScriptedServer, enrolled: Cli) -> Iterator[DripServer]:
    running = DripServer(server)
    store = Store(enrolled.store)
    store.enroll(replace(store.enrolment(), server=running.url))
    yield running
    running.close()


@contextlib.contextmanager
def started(store: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A device's command in a process of its own."""
    command = [sys.executable, "-m", "diffclient", *words, "--store", str(store), "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def stopped(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> None:
    """Stop a process and look at how it ends."""
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - began < SOON
    assert (process.returncode, json.loads(out.splitlines()[-1])["error"]) == (130, "Stopped"), (out, err)
    assert err == "diffclient: stopped as asked; nothing was left half done\n"


def asked(server: ScriptedServer, path: str) -> None:
    """Wait until the server is asked for something."""
    for _ in range(1200):
        if any(path in request.path for request in server.seen):
            return time.sleep(0.1)
        time.sleep(0.05)
    raise AssertionError(f"{path} is not asked for")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("path", "way"),
    [
        ("/device/poll", drip_server.silence),
        ("/device/poll", drip_server.continued_fast),
        ("timestamp.json", drip_server.status_line),
        ("/v1/blobs/", drip_server.body),
        ("/device/reports", drip_server.silence),
    ],
)
def test_while_the_network_drips(
    drip: DripServer,
    enrolled: Cli,
    server: ScriptedServer,
    lineage: Lineage,
    number: signal.Signals,
    path: str,
    way: drip_server.Way,
) -> None:
    drip.path, drip.way = path, way
    with started(enrolled.store, "update", *SCORE, "--least-speed", "1") as process:
        asked(server, path)
        stopped(process, number)
    drip.way = drip_server.whole
    assert enrolled("update", *SCORE)[0] == 0
    assert enrolled("verify")[1]["digest"] == lineage.digest(0)


def test_while_waiting_to_try_again(enrolled: Cli, server: ScriptedServer) -> None:
    server.fault("/device/poll", scripted_server.refuse(503, "15"))
    with started(enrolled.store, "update", *SCORE) as process:
        asked(server, "/device/poll")
        stopped(process)


def test_while_a_command_says_whether_the_link_is_metered(enrolled: Cli, tmp_path: Path) -> None:
    child = tmp_path / "child"
    check = f"sleep 600 & echo $! > {child}; wait"
    with started(enrolled.store, "run", "--start-within", "0", *SCORE, "--metered-check", check) as process:
        while not child.exists() or not child.read_text():
            time.sleep(0.05)
        stopped(process)
    assert not Path("/proc", child.read_text().strip()).exists() or zombie(int(child.read_text()))


def zombie(process: int) -> bool:
    """Whether a process has ended, and only its parent has not looked."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("scorer", ["sleeping", "swallowing", "computing"])
def test_while_a_version_measures_itself(enrolled: Cli, lineage: Lineage, scorer: str) -> None:
    with started(enrolled.store, "update", "--score", f"tests.hostile.devices.test_signals:{scorer}") as process:
        waits = enrolled.store / "objects"
        while not (waits.exists() and (waits / lineage.graph.sha256).exists()):
            time.sleep(0.05)
        time.sleep(0.7)
        stopped(process)
    assert enrolled("status")[1]["unfit"] == []
    assert enrolled("update", *SCORE)[1]["digest"] == lineage.digest(0)


def sleeping(*_: object) -> None:
    time.sleep(600)


def swallowing(*_: object) -> None:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(600)
            raise AssertionError
        time.sleep(600)


def computing(*_: object) -> None:
    while sum(range(100_000)):
        pass


def test_a_second_signal_ends_it_at_once(enrolled: Cli) -> None:
    with started(enrolled.store, "update", "--score", "tests.hostile.devices.test_signals:stubborn") as process:
        while not (enrolled.store / "slots").exists() or not any((enrolled.store / "slots").iterdir()):
            time.sleep(0.05)
        time.sleep(0.7)
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        assert process.wait(10) == -signal.SIGTERM


def stubborn(*_: object) -> None:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(600)
