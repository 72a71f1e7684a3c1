"""A root of trust comes from the owner's hand, or is what the owner knows by its digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from diffclient.errors import NoRoot, ServerRefused, ServerUnreachable
from diffclient.network.transport import Transport
from diffclient.trust.initial_root import root_of_trust
from tests.client import scripted_server
from tests.client.conftest import IMPATIENT
from tests.client.scripted_server import ScriptedServer

TRANSPORT = Transport(IMPATIENT)


@pytest.fixture
def root(server: ScriptedServer) -> bytes:
    return server.repository.first_root


@pytest.fixture
def file(root: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "root.json"
    path.write_bytes(root)
    return path


@pytest.fixture
def sha256(root: bytes) -> str:
    return hashlib.sha256(root).hexdigest()


def test_a_file_needs_no_server(file: Path, root: bytes, sha256: str) -> None:
    for digest in (None, sha256, sha256.upper()):
        assert root_of_trust(TRANSPORT, "http://127.0.0.1:1", file, digest) == root


def test_a_digest_is_what_the_servers_first_root_must_have(server: ScriptedServer, root: bytes, sha256: str) -> None:
    server.repository.rotate("root")
    assert root_of_trust(TRANSPORT, server.url + "/", None, sha256) == root
    assert [request.path for request in server.seen] == ["/v1/tuf/1.root.json"]


def test_another_digest_is_named(server: ScriptedServer, file: Path, sha256: str) -> None:
    for path in (None, file):
        with pytest.raises(NoRoot, match=sha256):
            root_of_trust(TRANSPORT, server.url, path, "0" * 64)


def test_neither_is_an_error_that_names_both(server: ScriptedServer) -> None:
    with pytest.raises(NoRoot, match=r"--root root\.json.*--root-sha256"):
        root_of_trust(TRANSPORT, server.url, None, None)
    assert server.seen == []


@pytest.mark.parametrize("data", [b"", b"{}", b" " * 600_000], ids=["empty", "an object", "long"])
def test_other_bytes_are_no_root_whatever_their_digest(server: ScriptedServer, tmp_path: Path, data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()
    server.fault("1.root.json", scripted_server.say(data))
    (tmp_path / "file").write_bytes(data)
    for path in (None, tmp_path / "file"):
        with pytest.raises(NoRoot):
            root_of_trust(TRANSPORT, server.url, path, digest)


@pytest.mark.parametrize("name", ["absent", "."])
def test_a_file_that_cannot_be_read(server: ScriptedServer, tmp_path: Path, name: str) -> None:
    with pytest.raises(NoRoot, match=r"give the root\.json"):
        root_of_trust(TRANSPORT, server.url, tmp_path / name, None)


def test_a_server_without_a_root(server: ScriptedServer, sha256: str) -> None:
    server.fault("1.root.json", scripted_server.refuse(404))
    with pytest.raises(ServerRefused):
        root_of_trust(TRANSPORT, server.url, None, sha256)
    with pytest.raises(ServerUnreachable):
        root_of_trust(TRANSPORT, "http://127.0.0.1:1", None, sha256)
