"""Checkpoints are uploaded as a stream, and kept only if they are whole, of that SHA-256, and safetensors."""

from __future__ import annotations

import hashlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from starlette.testclient import TestClient

from diffserver.app import create_app
from diffserver.storage.object_store import CHUNK
from tests.server.checkpoint_files import save
from tests.server.conftest import Service


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint that is read in more than one piece."""
    weights = np.random.default_rng(0).normal(size=CHUNK // 2).astype(np.float32)
    return save(tmp_path_factory.mktemp("checkpoint") / "c", {"w": weights}).read_bytes()


def url(data: bytes) -> str:
    return f"/v1/checkpoints/{hashlib.sha256(data).hexdigest()}"


def blob_url(data: bytes) -> str:
    return url(data).replace("checkpoints", "blobs")


@pytest.mark.parametrize("declared", [True, False])
def test_a_checkpoint_is_kept_under_its_digest(service: Service, data: bytes, declared: bool) -> None:
    pieces = (data[start : start + 100_000] for start in range(0, len(data), 100_000))
    answer = service.operator.put(url(data), content=data if declared else pieces)
    assert answer.status_code == 201, answer.text
    assert answer.json() == {"sha256": hashlib.sha256(data).hexdigest(), "length": len(data)}
    assert service.public.head(blob_url(data)).status_code == 200
    assert service.objects.get(answer.json()["sha256"]) == data
    assert service.operator.put(url(data), content=data).status_code == 201, "to send it again does no harm"


def test_only_operators_may(service: Service, data: bytes) -> None:
    service.publish_chain(0)
    for client, status in ((service.public, 401), (service.device(), 403), (service.client("wrong"), 401)):
        assert client.put(url(data), content=data).status_code == status
    assert service.public.head(blob_url(data)).status_code == 404


@pytest.mark.parametrize("cut", [0, 5, 1000, -1])
def test_a_truncated_upload_is_refused(service: Service, data: bytes, cut: int) -> None:
    answer = service.operator.put(url(data), content=data[:cut])
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:diffserver:problem:checkpoint-error")
    assert "does not have that SHA-256" in answer.json()["detail"]
    assert answer.json()["remedy"] == "send the whole file again"
    assert service.public.head(blob_url(data)).status_code == 404


def test_other_bytes_than_promised_are_refused(service: Service, data: bytes) -> None:
    other = data[:-1] + bytes([data[-1] ^ 1])
    assert service.operator.put(url(data), content=other).status_code == 422
    for content in (data, other):
        assert service.public.head(blob_url(content)).status_code == 404


@pytest.mark.parametrize("content", [b"PK\3\4 a zip", b"", bytes(5000)])
def test_what_is_no_checkpoint_is_refused_though_whole(service: Service, content: bytes) -> None:
    answer = service.operator.put(url(content), content=content)
    assert answer.status_code == 422
    assert "not a safetensors file" in answer.json()["detail"]
    assert service.public.head(blob_url(content)).status_code == 404


@pytest.mark.parametrize("declared", [True, False])
def test_one_that_is_too_large_is_refused_before_it_is_all_read(service: Service, data: bytes, declared: bool) -> None:
    limited = create_app(replace(service.settings, max_checkpoint=len(data) - 1))
    operator = TestClient(limited, headers=dict(service.operator.headers))
    pieces = (data[start : start + 100_000] for start in range(0, len(data), 100_000))
    answer = operator.put(url(data), content=data if declared else pieces)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:diffserver:problem:too-large")
    assert "DIFFSERVER_MAX_CHECKPOINT" in answer.json()["remedy"]
    assert service.public.head(blob_url(data)).status_code == 404


@pytest.mark.parametrize("name", ["abc", "A" * 64, "../" * 21 + "x"])
def test_what_is_no_digest_is_refused(service: Service, name: str) -> None:
    assert service.operator.put(f"/v1/checkpoints/{name}", content=b"x").status_code in (404, 405, 422)


def test_a_training_needs_a_checkpoint_that_is_there_and_a_kind_that_fits(service: Service, data: bytes) -> None:
    service.publish_chain(0)
    sha256 = hashlib.sha256(data).hexdigest()
    body: dict[str, Any] = {"kind": "update", "model": "speech", "data": "/data", "checkpoint": sha256}
    absent = service.operator.post("/v1/trainings", json=body)
    assert absent.status_code == 404
    assert f"PUT /v1/checkpoints/{sha256}" in absent.json()["remedy"]
    service.operator.put(url(data), content=data)
    for method, status in (("exact", 202), ("sparse", 202), ("hashed", 422), ("full", 422)):
        assert service.operator.post("/v1/trainings", json=body | {"method": method}).status_code == status, method
    without = {**body, "checkpoint": None, "method": "exact"}
    assert "nothing is trained so" in service.operator.post("/v1/trainings", json=without).json()["detail"]
    stray = service.operator.post("/v1/trainings", json=body | {"off_grid": ["w"]})
    assert stray.status_code == 422


@contextmanager
def listening(service: Service) -> Iterator[int]:
    """The application on a socket, in a thread of its own; yields the port."""
    server = uvicorn.Server(uvicorn.Config(service.app, port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def test_a_connection_that_breaks_leaves_nothing(service: Service, data: bytes, tmp_path: Path) -> None:
    with listening(service) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.putrequest("PUT", url(data))
        connection.putheader("Authorization", service.operator.headers["Authorization"])
        connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data[: len(data) // 2])
        assert connection.sock is not None
        connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()
        deadline = time.monotonic() + 20
        while not _answered(service) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert _answered(service) == [422], "an end that is expected, not a failure of the server"
    assert service.public.head(blob_url(data)).status_code == 404


def _answered(service: Service) -> list[int]:
    """The statuses logged of uploads."""
    return [line["status"] for line in service.logged() if str(line.get("path", "")).startswith("/v1/checkpoints/")]


def test_a_graph_is_kept_under_its_digest_and_a_base_may_name_it(service: Service) -> None:
    graph, sha256 = b"any bytes", hashlib.sha256(b"any bytes").hexdigest()
    base = {"kind": "base", "model": "m", "task": "delivery", "checkpoint": sha256, "graph": sha256}
    absent = "f" * 64
    assert service.operator.put(f"/v1/checkpoints/graphs/{sha256}", content=graph).status_code == 201
    refused = service.operator.post("/v1/trainings", json=base | {"graph": absent})
    assert (refused.status_code, refused.json()["detail"]) == (404, f"there is no graph {absent}")
    assert service.operator.post("/v1/trainings", json=base).json()["spec"]["graph"] == sha256
    assert service.operator.put(f"/v1/checkpoints/graphs/{absent}", content=graph).status_code == 422
