"""What the outages count as wrong: by what was published when, by statuses, and by rows; and a way that is killed."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from benchmarks.outages.__main__ import PROMISES, show
from benchmarks.outages.afterwards import not_once
from benchmarks.outages.operator import Operator, Refused, Unanswered
from benchmarks.outages.published import History, Published
from deploy.loopback.process import Process
from diffserver.demo.run import free_port
from tests.waiting import wait_for

HISTORY = History([Published(0, "a", 1.0, 2.0), Published(1, "b", 10.0, 11.0), Published(2, "c", 20.0)])
"""Version 2 is being published."""


@pytest.mark.parametrize(
    ("number", "digest", "asked", "stale", "fault"),
    [
        pytest.param(1, "b", 12.0, 0.0, None, id="the last"),
        pytest.param(2, "c", 12.0, 0.0, None, id="newer than the last, and asked for"),
        pytest.param(0, "a", 10.5, 0.0, None, id="asked before the next was acknowledged"),
        pytest.param(0, "a", 12.0, 0.0, "version 0, though version 1 was published before", id="old"),
        pytest.param(0, "a", 12.0, 6.0, None, id="as old as it may be"),
        pytest.param(0, "a", 18.0, 6.0, "version 0, though version 1 was published before", id="too old"),
        pytest.param(1, "a", 12.0, 0.0, "version 1 with the digest a, and not b", id="another's digest"),
        pytest.param(3, "d", 12.0, 0.0, "version 3, which nobody has published", id="of nobody"),
        pytest.param(None, None, 1.5, 0.0, None, id="none, before there was one"),
        pytest.param(None, None, 12.0, 0.0, "version None, which nobody has published", id="none, though there is one"),
    ],
)
def test_an_answer_is_judged_by_what_was_published(
    number: int | None, digest: str | None, asked: float, stale: float, fault: str | None
) -> None:
    assert HISTORY.fault(number, digest, asked, stale) == fault


def test_reports_are_counted_by_what_devices_were_told() -> None:
    there = {("kitchen", "1"): 1, ("kitchen", "2"): 2, ("hall", "3"): 1}
    assert not_once(there, {"kitchen": ["1", "1"], "hall": []}) == []
    assert not_once(there, {"kitchen": ["2"], "hall": ["1"]}) == [
        "report 1 of hall is there 0 times",
        "report 2 of kitchen is there 2 times",
    ]


@pytest.fixture
def operator() -> Iterator[Operator]:
    """An operator of a server that answers with the status that is asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(self.path[1:]))
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Operator(f"http://127.0.0.1:{server.server_port}", "token")
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_an_honest_failure_is_no_wrong_answer(operator: Operator, status: int) -> None:
    with pytest.raises(Unanswered):
        operator.ask("GET", f"/{status}")
    assert (operator.requests, operator.failures) == (1, 1)


@pytest.mark.parametrize("status", [401, 404, 409, 422])
def test_any_other_refusal_is_one(operator: Operator, status: int) -> None:
    with pytest.raises(Refused, match=f"{status}"):
        operator.ask("GET", f"/{status}")
    assert operator.failures == 0


def test_who_is_not_there_answers_nothing() -> None:
    with pytest.raises(Unanswered):
        Operator(f"http://127.0.0.1:{free_port()}", "token").ask("GET", "/")


def test_a_forwarder_that_is_killed_breaks_off_and_refuses_until_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as store:
        words = (sys.executable, "-m", "benchmarks.outages.forwarder", str(port), str(store.getsockname()[1]))
        forwarder = Process("forwarder", words, tmp_path)
        forwarder.start()
        try:
            wait_for(lambda: reached(port))
            store.accept()[0].close()  # the one that looked
            with socket.create_connection(("127.0.0.1", port)) as asking, store.accept()[0] as answering:
                asking.sendall(b"a request")
                assert answering.recv(100) == b"a request"
                answering.sendall(b"half of")
                assert asking.recv(100) == b"half of"
                os.kill(forwarder.pid or 0, signal.SIGKILL)
                assert rest(asking) == b""
            wait_for(lambda: not reached(port))
            forwarder.start()
            wait_for(lambda: reached(port))
        finally:
            forwarder.stop()


def rest(connection: socket.socket) -> bytes:
    """What still comes before a connection ends, in order or not."""
    with suppress(ConnectionResetError):
        return connection.recv(100)
    return b""


def reached(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_promise_that_was_broken_is_named() -> None:
    figures = dict.fromkeys(PROMISES, 0) | {"reports_lost": 2, "killed": {"worker": 3}, "polls": 7}
    lines = [" ".join(line.split()) for line in show(figures).splitlines()]
    assert "reports that were acknowledged, and are not there exactly once 2 MISSED" in lines
    assert [line for line in lines if line.endswith("MISSED")] == lines[1:2]
    assert lines[-2:] == ["killed: worker 3", "polls 7"]
