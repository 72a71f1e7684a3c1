"""Requests that mean something else than they say: other types, impossible times, half characters, other methods."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hostile.served import DIFFSERVER, Served, served

MODEL = "/v1/models/speech"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("requests")) as running:
        yield running


@pytest.fixture(scope="module")
def device(server: Served) -> str:
    return server.device()


@pytest.mark.parametrize(
    "expires",
    [
        "0001-01-01T00:00:00",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "9999-12-31T23:59:59Z",
        "2026-11-25T10:00:00",
        "2026-11-25",
        "2026-13-45T10:00:00Z",
        "1764000000",
        1764000000,
        1764000000.5,
        True,
        None,
        ["2026-11-25T10:00:00Z"],
        "",
        "\u0662\u0660\u0662\u0666-11-25T10:00:00Z",
        "2026-11-25T10:00:00.000001Z",
    ],
)
@pytest.mark.parametrize("change", ["renew", "channel", "retire"])
def test_impossible_times_are_refused(server: Served, change: str, expires: object) -> None:
    body = {"proof": {"expires": expires, "versions": {}, "signatures": {}, "returns": [0]}}
    more: dict[str, dict[str, int]] = {"renew": {}, "channel": {"version": 0}, "retire": {"before": 0}}
    assert server.asked("POST", f"{MODEL}/{change}", body | more[change], server.operator).status == 422


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{MODEL}/channel", {"version": False}),
        (f"{MODEL}/channel", {"version": "0"}),
        (f"{MODEL}/channel", {"version": 0.0}),
        (f"{MODEL}/retire", {"before": True}),
        (f"{MODEL}/retire", {"before": [0]}),
        ("/v1/candidates/1/publish", {"force": 1}),
        ("/v1/candidates/1/publish", {"force": "true"}),
        ("/v1/enroll", {"model": "speech", "name": 7}),
        ("/v1/enroll", {"model": ["speech"], "name": "x"}),
        ("/v1/trainings", {"kind": "update", "model": "speech", "data": "/d", "seed": "1"}),
        ("/v1/trainings", {"kind": "update", "model": "speech", "data": "/d", "seed": True}),
        ("/v1/trainings", {"kind": "update", "model": "speech", "data": "/d", "budget": "0.5"}),
        ("/v1/trainings", {"kind": "update", "model": "speech", "data": "/d", "budget": True}),
        ("/v1/trainings", {"kind": "update", "model": "speech", "data": "/d\n"}),
        ("/v1/trainings", {"kind": "update", "model": "speech", "data": "/d", "off_grid": {"a": "b"}}),
        ("/v1/trainings", {"kind": "update", "model": "speech", "data": "/d", "off_grid": "ab"}),
        ("/v1/device/poll", {"digest": None, "full_fallback": 0}),
        ("/v1/device/poll", {"digest": None, "full_fallback": "no"}),
        ("/v1/device/reports", {"stage": "installed", "errors": "3"}),
        ("/v1/device/reports", {"stage": "installed", "errors": True}),
        ("/v1/device/reports", {"stage": "installed", "seconds_apply": "1.5"}),
        ("/v1/device/reports", {"stage": "installed", "downloaded_bytes": 1.0}),
    ],
)
def test_other_types_are_refused(server: Served, device: str, path: str, body: dict[str, Any]) -> None:
    answer = server.asked("POST", path, body, device if "device" in path else server.operator)
    assert answer.status == 422, answer.body


@pytest.mark.parametrize(
    "text",
    [
        '{"version": NaN}',
        '{"version": Infinity}',
        '{"version": 1e400}',
        '{"version": ' + "1" * 5000 + "}",
        "[" * 100_000,
        '{"version": 0, "\\ud800": 1}',
        '{"version": "\\ud800"}',
        '"\\ud800"',
        "",
    ],
)
def test_json_that_is_hardly_json_is_refused(server: Served, text: str) -> None:
    head = (
        f"POST {MODEL}/channel HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.operator}\r\n"
        f"Content-Type: application/json\r\nConnection: close\r\nContent-Length: {len(text)}\r\n\r\n"
    )
    with server.connected() as connection:
        connection.sendall((head + text).encode())
        answer = connection.makefile("rb").read()
    assert int(answer.split()[1]) in (400, 422)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["remedy"]


def checkpoint(header: object) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "header",
    [
        {"x": {"dtype": "\ud800", "shape": [0], "data_offsets": [0, 0]}},
        {"x": {"dtype": "\x1b[31m\u202e", "shape": [0], "data_offsets": [0, 0]}},
        {"\ud800": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}},
        {"a\x00b": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}},
        {"\ud800": {"dtype": "F32", "shape": [0], "data_offsets": [4, 4]}},
        {"\ud800": 1},
        ["\ud800"],
    ],
)
def test_a_checkpoint_that_names_what_cannot_be_written_is_refused(server: Served, header: object) -> None:
    data = checkpoint(header)
    sha256 = hashlib.sha256(data).hexdigest()
    head = (
        f"PUT /v1/checkpoints/{sha256} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.operator}\r\n"
        f"Connection: close\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    with server.connected() as connection:
        connection.sendall(head.encode() + data)
        answer = connection.makefile("rb").read()
    assert answer.split()[1] == b"422"
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"].isprintable()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", f"/v1/blobs/{'0' * 64}", "GET, HEAD"),
        ("PATCH", "/v1/trainings", "GET, POST"),
        ("PUT", "/v1/trainings/1", "DELETE, GET"),
        ("GET", "/v1/enroll", "POST"),
        ("HEAD", "/healthz", "GET"),
        ("OPTIONS", "/v1/models", "GET"),
    ],
)
def test_all_methods_of_a_path_are_named(server: Served, method: str, path: str, allowed: str) -> None:
    answer = server.asked(method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/healthz/", "/v1/models/", "/v1/models/speech/", "/v1/tuf/", "//healthz"])
def test_no_answer_sends_anyone_to_another_host(server: Served, path: str) -> None:
    with server.connected() as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode())
        answer = connection.makefile("rb").read().lower()
    assert answer.split()[1] == b"404"
    assert b"location:" not in answer
    assert b"evil.example" not in answer


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/oauth2-redirect"])
def test_no_page_loads_scripts_from_elsewhere(server: Served, path: str) -> None:
    assert server.asked("GET", path).status == 404
    assert "paths" in server.asked("GET", "/openapi.json").json()


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b"[/x]", b"\x1b[31m", "\u202eevil".encode(), b"", b"x" * 101])
def test_a_token_with_an_impossible_name_is_a_clear_error(server: Served, name: bytes) -> None:
    words = [*map(os.fsencode, DIFFSERVER), b"token", b"create", b"enroll", b"--name", name]
    environment = os.environ | {"DIFFSERVER_HOME": str(server.home)}
    done = subprocess.run(words, capture_output=True, env=environment, timeout=120)
    assert (done.returncode, done.stdout) == (1, b"")
    first, second = done.stderr.decode().splitlines()
    assert first.startswith("error: ")
    assert "cannot be the name of a token" in first
    assert "letters and digits" in second
