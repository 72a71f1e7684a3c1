import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import obstore
import pytest
import urllib3

from diffclient.errors import StoreFailed
from diffclient.release.manifest import Blob
from diffserver.errors import BlobCorrupt, Invalid, NotFound, Unavailable
from diffserver.storage import object_store
from diffserver.storage.object_store import AT_ONCE, CHUNK, READERS, Objects
from tests.server import s3_server
from tests.server.s3_server import BUCKET
from tests.server.stored import place, write

DATA = bytes(range(256)) * 10_000
NAME = sha256(DATA).hexdigest()
MISSING = "0" * 64


@pytest.fixture(params=["file", "memory", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "s3":
        return Objects(request.getfixturevalue("s3")())
    return Objects("memory://" if request.param == "memory" else (tmp_path / "the objects").as_uri())


@pytest.fixture
def local(tmp_path: Path) -> Objects:
    return Objects(tmp_path.as_uri())


def stored(folder: Path) -> Path:
    return folder / place(NAME)


def test_bytes_come_back_under_their_digest(objects: Objects) -> None:
    assert objects.put(DATA) == Blob(NAME, len(DATA))
    assert objects.get(NAME) == DATA
    found = objects.find(NAME)
    assert found is not None
    assert (found.sha256, found.length, objects.exists(NAME)) == (NAME, len(DATA), True)


def test_a_file_is_stored_like_its_bytes(objects: Objects, tmp_path: Path) -> None:
    source = tmp_path / "snapshot"
    source.write_bytes(DATA)
    assert objects.put(source) == objects.put(DATA) == Blob(NAME, len(DATA))
    assert objects.download(NAME, tmp_path / "copy").read_bytes() == DATA


def test_empty_bytes(objects: Objects) -> None:
    blob = objects.put(b"")
    assert (blob.length, objects.get(blob.sha256), list(objects.stream(blob.sha256))) == (0, b"", [])


@pytest.mark.parametrize(("start", "stop"), [(0, None), (0, 1), (5, 7), (len(DATA) - 1, None), (3, CHUNK + 9), (9, 9)])
def test_a_part_is_streamed(objects: Objects, start: int, stop: int | None) -> None:
    objects.put(DATA)
    assert b"".join(objects.stream(NAME, start, stop)) == DATA[start:stop]


def test_a_large_object_is_streamed_in_pieces(objects: Objects) -> None:
    objects.put(DATA)
    assert list(map(len, objects.stream(NAME))) == [CHUNK, CHUNK, len(DATA) - 2 * CHUNK]


def test_what_goes_while_it_is_streamed_is_missed(objects: Objects) -> None:
    objects.put(DATA)
    pieces = objects.stream(NAME)
    assert next(pieces) == DATA[:CHUNK]
    objects.remove(NAME)
    with pytest.raises(NotFound, match=f"no object {NAME}"):
        next(pieces)


def test_an_object_of_several_uploads_arrives_whole(objects: Objects, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(large := DATA * 5)  # stores take more than 5 MiB in parts
    blob = objects.put(source)
    assert objects.find(blob.sha256) == next(objects.list_all())
    assert objects.download(blob.sha256, tmp_path / "copy").read_bytes() == large


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda objects, _: objects.get(MISSING), id="get"),
        pytest.param(lambda objects, _: objects.stream(MISSING), id="stream"),
        pytest.param(lambda objects, _: objects.stream(MISSING, 0, 5), id="part"),
        pytest.param(lambda objects, path: objects.download(MISSING, path / "x"), id="download"),
    ],
)
def test_what_is_missing_is_named(objects: Objects, tmp_path: Path, read: Callable[[Objects, Path], object]) -> None:
    with pytest.raises(NotFound, match=f"no object {MISSING}"):
        read(objects, tmp_path)
    assert not objects.exists(MISSING)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("there", [DATA, DATA[:100], b"\xff" + DATA[1:]])
def test_what_is_there_is_replaced_and_young_again(local: Objects, tmp_path: Path, there: bytes) -> None:
    local.put(DATA)
    stored(tmp_path).write_bytes(there)
    os.utime(stored(tmp_path), (0, 0))
    before = local.find(NAME)
    local.put(DATA)
    after = local.find(NAME)
    assert before is not None
    assert after is not None
    assert local.get(NAME) == DATA
    assert after.modified > before.modified
    assert after.tag != before.tag


def test_only_objects_are_listed(objects: Objects) -> None:
    objects.put(DATA)
    for stray in ("sha256/stray", f"sha256/{NAME[:2]}/{MISSING}", "ready/stray", NAME):
        write(objects, stray, b"stray")
    assert [(one.sha256, one.length) for one in objects.list_all()] == [(NAME, len(DATA))]


def test_a_list_and_a_look_agree_on_an_object_however_exact_they_are() -> None:
    moment = datetime(2026, 6, 30, 2, 30, 5, 250_000, tzinfo=UTC)
    looked = {"path": place(NAME), "size": 5, "last_modified": moment.replace(microsecond=0), "e_tag": '"0x1E09"'}
    assert object_store._stored(looked) == object_store._stored(looked | {"last_modified": moment, "e_tag": "0x1E09"})
    assert object_store._stored(looked) != object_store._stored(
        looked | {"last_modified": moment + timedelta(seconds=1)}
    )


def test_half_written_objects_are_told_apart(local: Objects, tmp_path: Path) -> None:
    local.put(DATA)
    draft = stored(tmp_path).with_name(f"{NAME}#1")
    for stray in (draft, tmp_path / "sha256" / "stray", stored(tmp_path).with_name("0" * 64)):
        stray.write_bytes(b"stray")
    assert [(one.sha256, one.length) for one in local.list_all()] == [(NAME, len(DATA))]
    moment = datetime.now(UTC)
    assert local.unfinished(moment + timedelta(minutes=1)) == [draft]
    assert local.unfinished(moment - timedelta(minutes=1)) == []


def test_what_is_removed_is_gone(objects: Objects) -> None:
    objects.put(DATA)
    for _ in range(2):
        objects.remove(NAME)
        assert not objects.exists(NAME)


@pytest.mark.parametrize("damage", [DATA[:-1], b"\xff" + DATA[1:], b""])
def test_altered_bytes_are_never_handed_out_as_a_whole(objects: Objects, tmp_path: Path, damage: bytes) -> None:
    objects.put(DATA)
    write(objects, place(NAME), damage)
    for read in (objects.get, objects.check):
        with pytest.raises(BlobCorrupt, match=f"object {NAME} holds other bytes"):
            read(NAME)
    folder = tmp_path / "downloads"
    folder.mkdir()
    with pytest.raises(BlobCorrupt):
        objects.download(NAME, folder / "snapshot")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("damage", [DATA[:-1], b"\xff" + DATA[1:]])
def test_what_is_damaged_is_replaced_under_another_tag(objects: Objects, damage: bytes) -> None:
    write(objects, place(NAME), damage)
    before = objects.find(NAME)
    objects.put(DATA)
    after = objects.find(NAME)
    objects.check(NAME)
    assert before is not None
    assert after is not None
    assert after.tag != before.tag


def test_an_interrupted_write_leaves_nothing_visible(local: Objects, tmp_path: Path) -> None:
    with pytest.raises(StoreFailed):
        local.put(tmp_path / "missing")
    # What the store itself leaves behind when its process dies between writing and renaming.
    stored(tmp_path).parent.mkdir(parents=True)
    stored(tmp_path).with_name(f"{NAME}#1").write_bytes(DATA[:100])
    assert not local.exists(NAME)
    local.put(DATA)
    assert local.get(NAME) == DATA


def test_a_writer_that_is_killed_leaves_nothing_visible(s3: Callable[[], str], tmp_path: Path) -> None:
    url = s3()
    (tmp_path / "large").write_bytes(large := os.urandom(60_000_000))
    objects, name = Objects(url), sha256(large).hexdigest()
    write_it = f"from pathlib import Path; Objects({url!r}).put(Path({str(tmp_path / 'large')!r}))"
    under_way = f"{os.environ['AWS_ENDPOINT_URL']}/{BUCKET}?uploads"
    with subprocess.Popen([sys.executable, "-c", f"from {Objects.__module__} import Objects; {write_it}"]) as writer:
        while name not in urllib3.request("GET", under_way).data.decode() and writer.poll() is None:
            time.sleep(0.01)
        writer.kill()
    assert writer.returncode == -signal.SIGKILL
    assert (objects.exists(name), list(objects.list_all())) == (False, [])
    objects.put(large)
    objects.check(name)


def test_the_same_bytes_from_many_writers_are_one_object(objects: Objects) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(objects.put, [DATA] * 16)) == {Blob(NAME, len(DATA))}
    assert objects.get(NAME) == DATA
    assert [one.sha256 for one in objects.list_all()] == [NAME]


def test_says_whether_it_can_write(objects: Objects) -> None:
    assert objects.writable()
    assert [entry["path"] for entries in obstore.list(objects._store) for entry in entries] == []


def test_a_folder_that_cannot_be_written(local: Objects, tmp_path: Path) -> None:
    (tmp_path / "ready").write_bytes(b"in the way")
    assert not local.writable()


def test_a_bucket_that_is_not_there(s3: Callable[[], str]) -> None:
    objects = Objects(s3().replace(BUCKET, "elsewhere"))
    assert (objects.writable(), objects.exists(NAME)) == (False, False)
    with pytest.raises(Unavailable, match="no such bucket"):
        objects.put(DATA)


@pytest.mark.parametrize("url", ["az://container/prefix", "s3://"])
def test_a_store_that_lacks_what_it_needs_is_refused_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(Invalid, match=f"{url} can't be opened: Generic"):
        Objects(url)


def test_a_signed_url_gives_the_bytes_and_parts_of_them(s3: Callable[[], str]) -> None:
    objects = Objects(s3())
    objects.put(DATA)
    url = objects.signed_url(NAME)
    assert urllib3.request("GET", url).data == DATA
    part = urllib3.request("GET", url, headers={"Range": "bytes=5-8"})
    assert (part.status, part.data) == (206, DATA[5:9])


@pytest.fixture
def silent_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    """A store that takes connections and answers nothing, as a server reads it; all are cut off in the end."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        for name, value in s3_server.environment(f"http://127.0.0.1:{listener.getsockname()[1]}").items():
            monkeypatch.setenv(name, value)
        yield Objects("s3://bucket", AT_ONCE)


def test_a_store_that_answers_nothing_holds_a_few_threads_alone(silent_store: Objects) -> None:
    pool = ThreadPoolExecutor(READERS + 1)
    waiting = [pool.submit(silent_store.find, NAME) for _ in range(READERS + 1)]
    (first,) = wait(waiting, timeout=20, return_when=FIRST_COMPLETED).done
    pool.shutdown(wait=False)
    with pytest.raises(Unavailable, match="the object store is slow: 20 requests wait for it"):
        first.result()


@pytest.fixture
def broken_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    """A store that breaks off thirty connections, and then says that there is nothing."""
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(object_store, name, timedelta(milliseconds=1))
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        for name, value in s3_server.environment(f"http://127.0.0.1:{listener.getsockname()[1]}").items():
            monkeypatch.setenv(name, value)

        def serve() -> None:
            for number in range(31):
                connection = listener.accept()[0]
                with connection:
                    if number == 30:
                        connection.recv(CHUNK)
                        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Objects("s3://bucket")
        thread.join(1)


def test_a_store_is_asked_again_for_as_long_as_patience_says(broken_off: Objects) -> None:
    assert broken_off.find(NAME) is None
