"""Connections without limit: half-sent heads and bodies, bodies that are refused, answers that nobody takes."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.served import Served, served

HEADER_SECONDS, BODY_SECONDS = 2, 2
SLACK_SECONDS = 2.5
FILES, HALF_OPEN = 256, 400
MOST_TAKEN = 32 << 20
"""Bytes of a refused body that both ends' operating systems may hold, of the gigabyte that was promised."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("connections")
    with served(home, header_seconds=HEADER_SECONDS, body_seconds=BODY_SECONDS, max_connections=200) as running:
        yield running


def read_on(connection: socket.socket) -> bytes:
    """All that comes until the other side ends it."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(1 << 16):
            found += data
    return found


def status(answer: bytes) -> int:
    """The status of an answer, which must be a problem."""
    head, _, body = answer.partition(b"\r\n\r\n")
    found = int(head.split()[1])
    assert json.loads(body)["status"] == found
    return found


def post(path: str = "/v1/enroll", headers: str = "Content-Length: 100") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\r\n\r\n".encode()


def authorised(server: Served, headers: str = "Content-Length: 100") -> bytes:
    return post(headers=f"Authorization: Bearer {server.operator}\r\n{headers}")


@pytest.mark.parametrize("sent", ["", "G", "GET /healthz HTTP/1.1\r\nHost: x\r\n", "GET /healthz HTTP/1.1\r\nX: "])
def test_half_a_head_is_given_up(server: Served, sent: str) -> None:
    with server.connected() as connection:
        connection.sendall(sent.encode())
        began = time.monotonic()
        answer = read_on(connection)
    assert time.monotonic() - began < HEADER_SECONDS + SLACK_SECONDS
    assert answer == b"" if not sent else status(answer) == 408


def test_a_dripped_head_is_given_up(server: Served) -> None:
    with server.connected() as connection:
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for byte in b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 1000:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
    assert time.monotonic() - began < HEADER_SECONDS + SLACK_SECONDS


def test_a_second_request_has_its_own_time(server: Served) -> None:
    with server.connected() as connection:
        for _ in range(4):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
            time.sleep(HEADER_SECONDS / 2)
            connection.sendall(b"\r\n")
            answer = b""
            while not answer.endswith(b'{"status":"ok"}'):
                answer += connection.recv(4096)


@pytest.mark.parametrize(
    "headers", ["Content-Length: 100", "Transfer-Encoding: chunked", "Content-Length: 100\r\nExpect: 100-continue"]
)
def test_half_a_body_is_given_up(server: Served, headers: str) -> None:
    with server.connected() as connection:
        connection.sendall(authorised(server, headers))
        began = time.monotonic()
        answer = read_on(connection).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert status(answer) == 408
    assert BODY_SECONDS - 0.5 < time.monotonic() - began < BODY_SECONDS + SLACK_SECONDS


def test_a_dripped_body_is_given_up(server: Served) -> None:
    with server.connected() as connection:
        connection.sendall(authorised(server, "Content-Length: 100000"))
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                connection.sendall(b" ")
                time.sleep(0.05)
    assert time.monotonic() - began < BODY_SECONDS + SLACK_SECONDS


def test_a_slow_body_that_keeps_its_speed_is_taken(server: Served) -> None:
    body = json.dumps({"model": "speech", "name": "slow"}).encode().ljust(40_000)
    with server.connected() as connection:
        connection.sendall(authorised(server, f"Content-Length: {len(body)}"))
        for start in range(0, len(body), 2000):  # 5 kB a second, for twice the window
            connection.sendall(body[start : start + 2000])
            time.sleep(0.2)
        assert b"201 Created" in connection.recv(4096)


@pytest.mark.parametrize(
    ("request_head", "expected"),
    [
        (post(headers=f"Content-Length: {1 << 30}"), 413),
        (post(headers="Content-Length: 1000000"), 401),
        (post(headers="Transfer-Encoding: chunked"), 401),
        (post(headers="Authorization: Bearer wrong\r\nContent-Length: 1000000"), 401),
        (post("/nowhere", f"Content-Length: {1 << 20}"), 404),
        (post("/v1/models", f"Content-Length: {1 << 20}"), 405),
        (post("/healthz", "Transfer-Encoding: chunked"), 405),
        (post(headers=f"Content-Length: {1 << 30}\r\nExpect: 100-continue"), 413),
        (post(headers="Content-Length: 1000\r\nExpect: 100-continue"), 401),
        (post(headers="Content-Length: 5\r\nTransfer-Encoding: chunked"), 400),
        (b"PUT /v1/checkpoints/" + b"0" * 64 + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n", 401),
        (b"PUT /v1/checkpoints/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n", 401),
    ],
)
def test_a_refused_body_is_answered_at_once_and_not_asked_for(
    server: Served, request_head: bytes, expected: int
) -> None:
    with server.connected() as connection:
        began = time.monotonic()
        connection.sendall(request_head)
        answer = read_on(connection)
    assert status(answer) == expected
    assert b"connection: close" in answer.lower()
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("name", ["401", "404", "413 by length", "413 by chunks", "200"])
def test_a_gigabyte_that_is_refused_is_not_taken(server: Served, name: str) -> None:
    head = {
        "401": post("/v1/checkpoints/" + "0" * 64).replace(b"POST", b"PUT").replace(b": 100", b": 1073741824"),
        "404": post("/nowhere", "Transfer-Encoding: chunked"),
        "413 by length": post(headers="Content-Length: 1073741824"),
        "413 by chunks": authorised(server, "Transfer-Encoding: chunked"),
        "200": post("/healthz", "Transfer-Encoding: chunked").replace(b"POST", b"GET"),
    }[name]
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent, heard = 0, []
    with server.connected() as connection:
        connection.sendall(head)
        reader = threading.Thread(target=lambda: heard.append(read_on(connection)))
        reader.start()
        with contextlib.suppress(ConnectionError, TimeoutError):
            while sent < 1 << 30:
                sent += connection.send(piece)
        reader.join(20)
    assert sent < MOST_TAKEN
    assert heard[0].split()[1].decode() == name.split()[0]


def test_an_answer_that_nobody_takes_is_given_up(server: Served) -> None:
    with server.connected() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0.2)
        with contextlib.suppress(TimeoutError, ConnectionError):
            for _ in range(20_000):  # pipelined, until nothing more is taken of us either
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(BODY_SECONDS + SLACK_SECONDS)
        connection.settimeout(20)
        with pytest.raises(ConnectionError):
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20_000)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000,
        b"GET /healthz HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_http_is_a_problem(server: Served, sent: bytes) -> None:
    with server.connected() as connection:
        connection.sendall(sent)
        assert status(read_on(connection)) == 400


def test_garbage_in_the_middle_of_a_chunked_body_is_a_problem(server: Served) -> None:
    with server.connected() as connection:
        connection.sendall(authorised(server, "Transfer-Encoding: chunked") + b"5\r\nabcde\r\nnonsense\r\n")
        assert status(read_on(connection)) == 400


@pytest.mark.parametrize("wait", [0, 1])
@pytest.mark.parametrize("sent", ["", "GET /healthz HTTP/1.1\r\n", "body"])
def test_half_open_connections_shut_nobody_out(tmp_path: Path, sent: str, wait: float) -> None:
    with served(tmp_path, files=FILES) as server, contextlib.ExitStack() as stack:
        half = authorised(server) if sent == "body" else sent.encode()
        for _ in range(HALF_OPEN):
            stack.enter_context(connection := server.connected())
            with contextlib.suppress(ConnectionError):
                connection.sendall(half)
        time.sleep(wait)  # at once, while most are still to be accepted, or when all have been read
        waits = []
        for _ in range(20):
            began = time.monotonic()
            assert server.asked("GET", "/v1/tuf/timestamp.json").status == 200
            assert server.asked("GET", "/v1/models", token=server.operator).status == 200
            waits.append(time.monotonic() - began)
        log = server.log()
    assert max(waits) < 1.5
    assert "Traceback" not in log
    assert log.count("all connections are taken") == 1
    assert "no connection can be accepted" not in log


def test_a_flood_of_connections_is_one_line_in_the_log(tmp_path: Path) -> None:
    """All at once, before the server has seen any of them: still none is one too many for its files."""
    with served(tmp_path, files=FILES) as server, contextlib.ExitStack() as stack:
        for _ in range(3 * HALF_OPEN):
            connection = stack.enter_context(socket.socket())
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.connect(("127.0.0.1", server.port))
        began = time.monotonic()
        assert server.asked("GET", "/readyz").status == 200
        assert time.monotonic() - began < 5
        log = server.log()
    assert "Traceback" not in log
    assert len(log) < 20_000


def test_a_server_without_files_says_so_in_one_line_and_comes_back(tmp_path: Path) -> None:
    with served(tmp_path, files=40) as server:
        with contextlib.ExitStack() as stack:
            for _ in range(200):
                stack.enter_context(server.connected())
            time.sleep(3)
        time.sleep(1.5)
        assert server.asked("GET", "/healthz").status == 200
        log = server.log()
    assert "Traceback" not in log
    assert log.count("no connection can be accepted") == 1


def test_half_sent_requests_do_not_keep_a_server_from_ending(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.connected() as head, server.connected() as body:
        head.sendall(b"GET /healthz HTTP/1.1\r\n")
        body.sendall(authorised(server))
        time.sleep(0.3)
        server.process.terminate()
        server.process.wait(5)
        assert status(read_on(body)) == 503
