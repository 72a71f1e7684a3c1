"""Fetching blobs: resumed, capped, verified; what a server may do wrong is a row."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diffclient.errors import (
    AnswerError,
    DiffClientError,
    DigestMismatch,
    Interrupted,
    NoSpace,
    ServerBusy,
    ServerRefused,
    ServerUnreachable,
    Stopped,
    StoreFailed,
    WrongLength,
)
from diffclient.network.fetch import Fetcher, Source
from diffclient.network.transport import Transport
from diffclient.release.manifest import Blob
from tests.client import scripted_server
from tests.client.conftest import IMPATIENT
from tests.client.scripted_server import ScriptedServer

LENGTH = 300_000


@pytest.fixture
def data() -> bytes:
    return np.random.default_rng(1).bytes(LENGTH)


@pytest.fixture
def blob(server: ScriptedServer, data: bytes) -> Blob:
    return server.lineage.add(data)


@pytest.fixture
def fetcher(server: ScriptedServer, tmp_path: Path) -> Fetcher:
    return Fetcher(Transport(IMPATIENT), [server.url], tmp_path)


def part(folder: Path, blob: Blob) -> Path:
    return folder / f"{blob.sha256}.part"


def ranges(server: ScriptedServer) -> list[str | None]:
    return [request.headers.get("range") for request in server.seen]


def test_a_blob_arrives(fetcher: Fetcher, blob: Blob, data: bytes, tmp_path: Path) -> None:
    fetcher.fetch(blob, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data
    assert fetcher.received == LENGTH
    assert not part(tmp_path, blob).exists()


def test_an_empty_blob_needs_no_request(fetcher: Fetcher, server: ScriptedServer, tmp_path: Path) -> None:
    fetcher.fetch(server.lineage.add(b""), tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b""
    assert server.seen == []


def test_what_broke_off_is_resumed_at_once(
    fetcher: Fetcher, server: ScriptedServer, blob: Blob, data: bytes, tmp_path: Path
) -> None:
    server.fault(blob.sha256, scripted_server.vanish(0.4), times=1)
    fetcher.fetch(blob, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data
    assert ranges(server) == [None, f"bytes={int(0.4 * LENGTH)}-"]
    assert fetcher.received == LENGTH


def test_what_broke_off_is_resumed_by_another_process(
    fetcher: Fetcher, server: ScriptedServer, blob: Blob, data: bytes, tmp_path: Path
) -> None:
    server.fault(blob.sha256, scripted_server.vanish(0.4))
    with pytest.raises(Interrupted):
        fetcher.fetch(blob, tmp_path / "target")
    kept = fetcher.arrived(blob)
    assert data[:kept] == part(tmp_path, blob).read_bytes()
    assert kept > 0.4 * LENGTH  # the second attempt went on from the first
    server.heal()
    server.seen.clear()
    other = Fetcher(Transport(IMPATIENT), [server.url], tmp_path)
    other.fetch(blob, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data
    assert ranges(server) == [f"bytes={kept}-"]
    assert server.seen[0].headers["if-range"] == f'"{blob.sha256}"'
    assert other.received == LENGTH - kept


def ignore_range(reply: scripted_server.Reply, data: bytes) -> None:
    reply.status, reply.body = 200, data
    reply.headers.pop("Content-Range", None)


def test_a_server_without_ranges_starts_over(
    fetcher: Fetcher, server: ScriptedServer, blob: Blob, data: bytes, tmp_path: Path
) -> None:
    part(tmp_path, blob).write_bytes(b"x" * 1000)
    server.fault(blob.sha256, lambda reply: ignore_range(reply, data))
    fetcher.fetch(blob, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data
    assert len(server.seen) == 1


@pytest.mark.parametrize("kept", [1000, LENGTH, LENGTH + 5], ids=["in the middle", "whole", "too long"])
def test_a_part_that_was_damaged_is_fetched_afresh(
    fetcher: Fetcher, blob: Blob, data: bytes, tmp_path: Path, kept: int
) -> None:
    part(tmp_path, blob).write_bytes(b"x" * kept)
    fetcher.fetch(blob, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data


def test_a_part_that_is_whole_needs_no_request(
    fetcher: Fetcher, server: ScriptedServer, blob: Blob, data: bytes, tmp_path: Path
) -> None:
    part(tmp_path, blob).write_bytes(data)
    fetcher.fetch(blob, tmp_path / "target")
    assert server.seen == []


def test_a_short_wait_is_waited(fetcher: Fetcher, server: ScriptedServer, blob: Blob, tmp_path: Path) -> None:
    server.fault(blob.sha256, scripted_server.refuse(503, "0"), times=1)
    fetcher.fetch(blob, tmp_path / "target")
    assert len(server.seen) == 2


@pytest.mark.parametrize(("after", "seconds"), [("3600", 3600), ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("soon", None)])
def test_a_long_wait_is_the_callers(
    fetcher: Fetcher, server: ScriptedServer, blob: Blob, tmp_path: Path, after: str, seconds: float | None
) -> None:
    server.fault(blob.sha256, scripted_server.refuse(429, after))
    with pytest.raises(ServerBusy) as busy:
        fetcher.fetch(blob, tmp_path / "target")
    assert busy.value.retry_after == seconds
    assert len(server.seen) == (1 if seconds else IMPATIENT.attempts)


@pytest.mark.parametrize(
    ("fault", "error", "kept"),
    [
        (scripted_server.vanish(0.3), Interrupted, True),
        (scripted_server.hurry, Interrupted, True),
        (scripted_server.alter, DigestMismatch, False),
        (scripted_server.cut, WrongLength, False),
        (scripted_server.lengthen, WrongLength, False),
        (scripted_server.spill, WrongLength, False),
        (scripted_server.misplace, WrongLength, False),
        (scripted_server.compress, AnswerError, False),
        (scripted_server.redirect, AnswerError, False),
        (scripted_server.refuse(404), ServerRefused, False),
        (scripted_server.refuse(500), ServerBusy, False),
        (scripted_server.refuse(416), WrongLength, False),
    ],
    ids="vanish hurry alter cut lengthen spill misplace compress redirect 404 500 416".split(),
)
def test_hostile(
    fetcher: Fetcher,
    server: ScriptedServer,
    blob: Blob,
    data: bytes,
    tmp_path: Path,
    fault: scripted_server.Fault,
    error: type[DiffClientError],
    kept: bool,
) -> None:
    server.fault(blob.sha256, fault)
    server.fault("again", fault)
    with pytest.raises(DiffClientError) as raised:
        fetcher.fetch(blob, tmp_path / "target")
    assert type(raised.value) is error
    assert not (tmp_path / "target").exists()
    assert (fetcher.arrived(blob) > 0) == kept
    assert fetcher.received < 3 * LENGTH  # no more was read than shows that it is wrong
    server.heal()
    fetcher.fetch(blob, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data


@pytest.fixture
def elsewhere(server: ScriptedServer) -> Iterator[ScriptedServer]:
    """Another host with the same blobs."""
    other = ScriptedServer(server.lineage)
    yield other
    other.close()


def test_a_download_goes_on_at_another_host_without_what_is_for_the_first(
    fetcher: Fetcher, server: ScriptedServer, elsewhere: ScriptedServer, blob: Blob, data: bytes, tmp_path: Path
) -> None:
    part(tmp_path, blob).write_bytes(data[:1000])
    server.fault(blob.sha256, scripted_server.lead(f"{elsewhere.url}/v1/blobs/{blob.sha256}"))
    fetcher.fetch(blob, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data
    assert fetcher.received == LENGTH - 1000
    assert server.seen[-1].headers["if-range"] == f'"{blob.sha256}"'
    assert [(seen.headers.get("range"), seen.headers.get("if-range")) for seen in elsewhere.seen] == [
        ("bytes=1000-", None)
    ]


@pytest.mark.parametrize("far", [False, True])
def test_a_token_stays_at_the_host_that_it_was_sent_to(
    server: ScriptedServer, elsewhere: ScriptedServer, blob: Blob, far: bool
) -> None:
    host = elsewhere if far else server
    server.fault("/begin", scripted_server.lead(f"{host.url}/v1/blobs/{blob.sha256}"))
    with Transport(IMPATIENT).open("GET", f"{server.url}/begin", {"Authorization": "Bearer x"}, redirects=1) as answer:
        assert answer.status == 200
    assert host.seen[-1].headers.get("authorization") == (None if far else "Bearer x")


def test_a_wrong_range_total_is_refused(
    fetcher: Fetcher, server: ScriptedServer, blob: Blob, data: bytes, tmp_path: Path
) -> None:
    part(tmp_path, blob).write_bytes(data[:1000])
    total = {"Content-Range": f"bytes 1000-{LENGTH - 1}/{LENGTH + 1}"}
    server.fault(blob.sha256, lambda reply: reply.headers.update(total))
    with pytest.raises(WrongLength):
        fetcher.fetch(blob, tmp_path / "target")


def test_a_manifest_that_promises_too_little_or_too_much(fetcher: Fetcher, blob: Blob, tmp_path: Path) -> None:
    for length in (LENGTH - 1, LENGTH + 1):
        with pytest.raises(WrongLength):
            fetcher.fetch(replace(blob, length=length), tmp_path / "target")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://no-such-host.invalid", "http://[::1"])
def test_a_server_that_is_not_there(tmp_path: Path, blob: Blob, url: str) -> None:
    error = AnswerError if url.endswith("[::1") else ServerUnreachable
    with pytest.raises(error, match=r"127\.0\.0\.1|invalid|::1"):
        Fetcher(Transport(IMPATIENT), [url], tmp_path).fetch(blob, tmp_path / "target")


def test_a_server_that_says_nothing(fetcher: Fetcher, server: ScriptedServer, blob: Blob, tmp_path: Path) -> None:
    until = threading.Event()
    server.fault(blob.sha256, scripted_server.stall(0.5, until))
    with pytest.raises(ServerUnreachable):
        fetcher.fetch(blob, tmp_path / "target")
    until.set()
    assert fetcher.arrived(blob) >= LENGTH // 2


def test_the_callback_can_stop_it(server: ScriptedServer, blob: Blob, data: bytes, tmp_path: Path) -> None:
    heard = []

    def stop(which: Source, done: int) -> None:
        heard.append(done)
        if done > LENGTH // 2:
            raise Stopped("enough")

    fetcher = Fetcher(Transport(IMPATIENT), [server.url], tmp_path, stop)
    with pytest.raises(Stopped):
        fetcher.fetch(blob, tmp_path / "target")
    assert heard == sorted(heard)
    assert part(tmp_path, blob).read_bytes() == data[: heard[-1]]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs privileges that this machine does not give")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_too_small_is_told_before_a_byte_is_asked_for(
    server: ScriptedServer, blob: Blob, small_disk: Path
) -> None:
    fetcher = Fetcher(Transport(IMPATIENT), [server.url], small_disk)
    with pytest.raises(NoSpace, match=f"{LENGTH:,} bytes needed") as full:
        fetcher.fetch(blob, small_disk / "target")
    assert full.value.needed == LENGTH
    assert 0 < full.value.free <= 200 * 1024
    assert server.seen == []


def test_a_disk_that_fills_up_meanwhile(server: ScriptedServer, data: bytes, small_disk: Path) -> None:
    blob = server.lineage.add(data[:190_000])

    def fill(_source: Source, _done: int) -> None:
        if not (small_disk / "other").exists():
            (small_disk / "other").write_bytes(bytes(100_000))

    fetcher = Fetcher(Transport(IMPATIENT), [server.url], small_disk, fill)
    with pytest.raises(NoSpace) as full:
        fetcher.fetch(blob, small_disk / "target")
    assert full.value.free < blob.length
    (small_disk / "other").write_bytes(b"")
    fetcher.fetch(blob, small_disk / "target")
    assert (small_disk / "target").read_bytes() == data[:190_000]


def test_a_folder_that_is_gone(server: ScriptedServer, blob: Blob, tmp_path: Path) -> None:
    fetcher = Fetcher(Transport(IMPATIENT), [server.url], tmp_path / "gone")
    with pytest.raises(StoreFailed):
        fetcher.fetch(blob, tmp_path / "target")


# Mirrors


@pytest.fixture
def mirror(server: ScriptedServer) -> Iterator[ScriptedServer]:
    running = ScriptedServer(server.lineage)
    yield running
    running.close()


@pytest.mark.parametrize(
    "fault",
    [
        scripted_server.vanish(0.4),
        scripted_server.alter,
        scripted_server.cut,
        scripted_server.lengthen,
        scripted_server.spill,
        scripted_server.misplace,
        scripted_server.compress,
        scripted_server.refuse(404),
        scripted_server.refuse(503, "3600"),
    ],
    ids="vanish alter cut lengthen spill misplace compress 404 503".split(),
)
def test_another_mirror_serves_where_one_fails(
    server: ScriptedServer,
    mirror: ScriptedServer,
    blob: Blob,
    data: bytes,
    tmp_path: Path,
    fault: scripted_server.Fault,
) -> None:
    server.fault(blob.sha256, fault)
    Fetcher(Transport(IMPATIENT), [server.url, mirror.url], tmp_path).fetch(blob, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data


def test_a_mirror_goes_on_where_another_broke_off(
    server: ScriptedServer, mirror: ScriptedServer, blob: Blob, data: bytes, tmp_path: Path
) -> None:
    server.fault(blob.sha256, scripted_server.vanish(0.4))
    fetcher = Fetcher(Transport(IMPATIENT), [server.url, mirror.url], tmp_path)
    fetcher.fetch(blob, tmp_path / "target")
    assert ranges(mirror) == [f"bytes={int(0.4 * LENGTH)}-"]
    assert fetcher.received == LENGTH


def test_a_beginning_that_a_mirror_spoilt_is_thrown_away(
    server: ScriptedServer, mirror: ScriptedServer, blob: Blob, data: bytes, tmp_path: Path
) -> None:
    def spoil(reply: scripted_server.Reply) -> None:
        reply.body, reply.sent = b"x" * len(reply.body), LENGTH // 3

    server.fault(blob.sha256, spoil)
    Fetcher(Transport(IMPATIENT), [server.url, mirror.url], tmp_path).fetch(blob, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data
    assert ranges(mirror) == [f"bytes={LENGTH // 3}-", None]


def test_the_mirror_that_served_last_is_asked_first(
    server: ScriptedServer, mirror: ScriptedServer, data: bytes, tmp_path: Path
) -> None:
    fetcher = Fetcher(Transport(IMPATIENT), ["http://127.0.0.1:1", server.url, mirror.url], tmp_path)
    server.fault("/v1/blobs/", scripted_server.refuse(404))
    for end in range(3):
        fetcher.fetch(server.lineage.add(data[: 1000 + end]), tmp_path / str(end))
    assert (len(server.seen), len(mirror.seen)) == (1, 3)


def test_mirrors_that_all_fail_are_told_as_the_first(
    server: ScriptedServer, mirror: ScriptedServer, blob: Blob, tmp_path: Path
) -> None:
    server.fault(blob.sha256, scripted_server.refuse(404))
    mirror.fault(blob.sha256, scripted_server.alter)
    with pytest.raises(ServerRefused):
        Fetcher(Transport(IMPATIENT), [server.url, mirror.url], tmp_path).fetch(blob, tmp_path / "target")
    server.heal()
    server.fault(blob.sha256, scripted_server.alter)
    mirror.fault(blob.sha256, scripted_server.refuse(500))
    with pytest.raises(ServerBusy):  # this one may pass
        Fetcher(Transport(IMPATIENT), [server.url, mirror.url], tmp_path).fetch(blob, tmp_path / "target")
