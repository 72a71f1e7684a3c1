"""`diffclient run` ends when it is asked to, and for nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from diffclient.store.policy import Policy
from diffclient.store.store import Store
from tests.client import scripted_server
from tests.client.cli.test_main import ROOT, SCORE, Cli
from tests.client.lineage import Lineage
from tests.client.scripted_server import Reply, ScriptedServer


@contextmanager
def running(cli: Cli, *options: str, to: int | IO[bytes] = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
    """`diffclient run`, in a process of its own."""
    words = ["run", "--start-within", "0", "--store", str(cli.store), "--json", *SCORE, *options]
    command = [sys.executable, "-m", "diffclient", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=to, stderr=to) as process:
        yield process
        process.kill()


def told(process: subprocess.Popen[bytes]) -> dict[str, object]:
    """The next thing that it says."""
    assert process.stdout is not None
    found: dict[str, object] = json.loads(process.stdout.readline())
    return found


def polls(server: ScriptedServer) -> int:
    return sum(request.path == "/v1/device/poll" for request in server.seen)


def polled(server: ScriptedServer, times: int) -> None:
    """Wait until the server was polled so often."""
    for _ in range(1200):
        if polls(server) >= times:
            return
        time.sleep(0.05)
    raise AssertionError(f"{polls(server)} polls, and not {times}")


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130


@pytest.fixture(autouse=True)
def often(server: ScriptedServer) -> None:
    server.rewrite = lambda answer: answer | {"poll_seconds": 1}


@pytest.mark.parametrize(
    "location", ["http://[::1/x", "http://\xff", "//", "ftp://x/y", "http://x:99999999/", "http://" + "a" * 300]
)
def test_a_redirect_to_nowhere(enrolled: Cli, server: ScriptedServer, lineage: Lineage, location: str) -> None:
    def redirect(reply: Reply) -> None:
        reply.status, reply.body, reply.headers = 302, b"", {"Location": location}

    server.fault("/v1/blobs/", redirect)
    with running(enrolled) as process:
        first = told(process)
        assert (first["error"], first["stage"]) == ("UpdateFailed", "download")
        assert enrolled("status")[1]["failure"]["stage"] == "download"
        server.heal()
        assert told(process)["digest"] == lineage.digest(0)
        end(process)


def test_a_store_that_cannot_be_read_for_a_while(enrolled: Cli, server: ScriptedServer) -> None:
    (enrolled.store / "state.json").mkdir(parents=True)
    with running(enrolled) as process:
        assert told(process)["error"] == "StoreFailed"
        (enrolled.store / "state.json").rmdir()
        assert told(process)["action"] == "installed"
        end(process)


def test_a_reader_that_is_gone(enrolled: Cli, server: ScriptedServer, lineage: Lineage) -> None:
    with running(enrolled) as process:
        told(process)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
        server.target = 2
        polled(server, 4)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
    assert enrolled("status")[1]["current"]["digest"] == lineage.digest(2)


def test_a_log_on_a_full_disk(enrolled: Cli, server: ScriptedServer, lineage: Lineage) -> None:
    with Path("/dev/full").open("wb") as full, running(enrolled, to=full) as process:
        polled(server, 3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
    assert enrolled("status")[1]["current"]["digest"] == lineage.digest(0)


@pytest.mark.parametrize("command", [["status"], ["policy"], ["update", *SCORE]])
def test_a_command_whose_words_nobody_takes_ends_in_a_line_and_a_code(enrolled: Cli, command: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        words = [sys.executable, "-m", "diffclient", *command, "--store", str(enrolled.store)]
        done = subprocess.run(words, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No space left" in done.stderr


def test_a_metered_check_that_hangs_counts_as_metered(enrolled: Cli, server: ScriptedServer) -> None:
    Store(enrolled.store).allow(Policy(patience=0.5))
    with running(enrolled, "--metered-check", "sleep 600") as process:
        assert [told(process)["action"] for _ in range(2)] == ["withheld", "withheld"]
        end(process)


def test_a_policy_that_changes_meanwhile_is_heeded(enrolled: Cli, server: ScriptedServer) -> None:
    Store(enrolled.store).allow(Policy("never"))
    with running(enrolled) as process:
        assert told(process)["action"] == "withheld"
        while enrolled("policy", "--full-fallback", "always")[0]:
            time.sleep(0.1)
        assert "installed" in (told(process).get("action") for _ in range(3))
        end(process)


def test_a_store_that_another_process_uses(enrolled: Cli, server: ScriptedServer) -> None:
    with Store(enrolled.store).locked(), running(enrolled) as process:
        first = told(process)
        assert first["error"] == "StoreBusy"
        assert f"process {os.getpid()}" in str(first["message"])
    with running(enrolled) as process:
        assert told(process)["action"] == "installed"
        end(process)


def test_a_busy_server_is_asked_again_in_time(enrolled: Cli, server: ScriptedServer) -> None:
    server.fault("/device/poll", scripted_server.refuse(503, "1000000000"))
    with running(enrolled) as process:
        seconds = told(process)["next_poll_seconds"]
        assert isinstance(seconds, float)
        assert 3600 <= seconds <= 1.2 * 3600
        end(process)


def test_without_an_enrolment_there_is_nothing_to_run(cli: Cli) -> None:
    assert cli("run", *SCORE)[0] == 2
