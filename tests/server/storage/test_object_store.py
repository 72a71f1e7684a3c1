import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from diffclient.errors import StoreFailed
from diffclient.release.manifest import Blob
from diffserver.errors import BlobCorrupt, NotFound
from diffserver.storage.object_store import CHUNK, Objects

DATA = bytes(range(256)) * 10_000
NAME = sha256(DATA).hexdigest()
MISSING = "0" * 64


@pytest.fixture(params=["file", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    return Objects("memory://" if request.param == "memory" else (tmp_path / "the objects").as_uri())


@pytest.fixture
def local(tmp_path: Path) -> Objects:
    return Objects(tmp_path.as_uri())


def stored(folder: Path) -> Path:
    return folder / "sha256" / NAME[:2] / NAME


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


def test_a_large_object_is_streamed_in_pieces(local: Objects) -> None:
    local.put(DATA)
    assert max(map(len, local.stream(NAME))) <= CHUNK


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


def test_only_objects_are_listed_and_half_written_ones_are_told_apart(local: Objects, tmp_path: Path) -> None:
    local.put(DATA)
    local.writable()
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
def test_altered_bytes_are_never_handed_out_as_a_whole(local: Objects, tmp_path: Path, damage: bytes) -> None:
    local.put(DATA)
    stored(tmp_path).write_bytes(damage)
    with pytest.raises(BlobCorrupt, match=f"object {NAME} holds other bytes"):
        local.get(NAME)
    folder = tmp_path / "downloads"
    folder.mkdir()
    with pytest.raises(BlobCorrupt):
        local.download(NAME, folder / "snapshot")
    assert list(folder.iterdir()) == []


def test_an_interrupted_write_leaves_nothing_visible(local: Objects, tmp_path: Path) -> None:
    with pytest.raises(StoreFailed):
        local.put(tmp_path / "missing")
    # What the store itself leaves behind when its process dies between writing and renaming.
    stored(tmp_path).parent.mkdir(parents=True)
    stored(tmp_path).with_name(f"{NAME}#1").write_bytes(DATA[:100])
    assert not local.exists(NAME)
    local.put(DATA)
    assert local.get(NAME) == DATA


def test_the_same_bytes_from_many_writers_are_one_object(local: Objects, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(local.put, [DATA] * 16)) == {Blob(NAME, len(DATA))}
    assert local.get(NAME) == DATA
    assert [path.name for path in stored(tmp_path).parent.iterdir()] == [NAME]


def test_says_whether_it_can_write(local: Objects, tmp_path: Path) -> None:
    assert local.writable()
    assert list((tmp_path / "ready").iterdir()) == []
    (tmp_path / "ready").rmdir()
    (tmp_path / "ready").write_bytes(b"in the way")
    assert not local.writable()
