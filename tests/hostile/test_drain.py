"""A server that drains: it answers to the end of its time, ends each connection, and says that it is not ready."""

from __future__ import annotations

import http.client
import signal
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.hostile.served import Served, served

DRAIN_SECONDS = 3


def kept_alive(server: Served) -> http.client.HTTPConnection:
    """A connection that has had an answer, and waits for the next request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", "/healthz")
    connection.getresponse().read()
    return connection


def test_a_drained_server_answers_and_ends_each_connection(tmp_path: Path) -> None:
    with served(tmp_path, drain_seconds=DRAIN_SECONDS) as server, closing(kept_alive(server)) as kept:
        began = time.monotonic()
        server.process.terminate()
        while server.asked("GET", "/readyz").status == 200:
            assert time.monotonic() - began < DRAIN_SECONDS - 1
        assert server.asked("GET", "/readyz").json()["detail"] == "the server is being stopped"
        assert server.asked("GET", "/v1/models", token=server.operator).status == 200
        kept.request("GET", "/healthz")
        last = kept.getresponse()
        assert (last.status, last.getheader("connection")) == (200, "close")
        server.process.wait(DRAIN_SECONDS + 5)
        assert time.monotonic() - began > DRAIN_SECONDS - 0.5


def test_requests_during_a_drain_are_all_answered(tmp_path: Path) -> None:
    """As a proxy asks that keeps its connections until it is told to end them."""
    with served(tmp_path, drain_seconds=DRAIN_SECONDS) as server:
        ended, statuses = threading.Event(), []

        def ask() -> None:
            connection = kept_alive(server)
            while not ended.is_set():
                connection.request("GET", "/v1/tuf/timestamp.json")
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)
                if answer.getheader("connection") == "close":
                    connection = kept_alive(server)

        asking = [threading.Thread(target=ask) for _ in range(4)]
        for thread in asking:
            thread.start()
        time.sleep(0.5)
        server.process.terminate()
        time.sleep(DRAIN_SECONDS - 1)
        ended.set()
        for thread in asking:
            thread.join()
    assert len(statuses) > 100
    assert set(statuses) == {200}


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(tmp_path: Path, second: signal.Signals) -> None:
    with served(tmp_path, drain_seconds=60) as server:
        server.process.terminate()
        time.sleep(0.5)
        server.process.send_signal(second)
        server.process.wait(10)
