"""Copies between stores of every two kinds: what is missing, whole, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from diffserver.storage.copy_objects import Copied, copy_missing
from diffserver.storage.object_store import Objects
from tests.server.stored import cut, empty, spoil

DATA = [bytes([number]) * 1000 * number for number in range(1, 7)]


@pytest.fixture(params=["file to file", "file to s3", "s3 to file", "s3 to s3"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Objects, Objects]:
    """A store with objects, and an empty one."""

    def new(kind: str, name: str) -> Objects:
        return Objects(request.getfixturevalue("s3")() if kind == "s3" else (tmp_path / name).as_uri())

    source, target = (new(kind, name) for kind, name in zip(request.param.split(" to "), "ab", strict=True))
    for data in DATA:
        source.put(data)
    return source, target


@pytest.fixture
def names(stores: tuple[Objects, Objects]) -> list[str]:
    """The objects' names, in the order of their lengths."""
    return [one.sha256 for one in sorted(stores[0].list_all(), key=lambda one: one.length)]


def test_only_what_is_missing_is_copied(stores: tuple[Objects, Objects], names: list[str], tmp_path: Path) -> None:
    source, target = stores
    target.put(DATA[0])
    target.put(b"another")
    shares: list[tuple[int, int]] = []
    copied = copy_missing(source, target, tmp_path, on_bytes=lambda *share: shares.append(share))
    assert copied == Copied(5, sum(map(len, DATA[1:])), 1, ())
    assert (shares[0], shares[-1], len(shares)) == ((0, 20_000), (20_000, 20_000), 6)
    assert [target.get(name) for name in names] == DATA
    assert len(list(target.list_all())) == 7
    assert copy_missing(source, target, tmp_path) == Copied(0, 0, 6, ())


def test_some_are_asked_for(stores: tuple[Objects, Objects], names: list[str], tmp_path: Path) -> None:
    source, target = stores
    assert copy_missing(source, target, tmp_path, names[:2]) == Copied(2, 3000, 0, ())
    assert {one.sha256 for one in target.list_all()} == set(names[:2])


@pytest.mark.parametrize("damage", [spoil, cut, empty, Objects.remove])
def test_what_is_damaged_at_its_source_is_told_and_the_rest_copied(
    stores: tuple[Objects, Objects], names: list[str], tmp_path: Path, damage: Callable[[Objects, str], object]
) -> None:
    source, target = stores
    damage(source, names[3])
    copied = copy_missing(source, target, tmp_path, names)
    assert (copied.copied, copied.lost) == (5, (names[3],))
    assert {one.sha256 for one in target.list_all()} == set(names) - {names[3]}
    source.put(DATA[3])
    assert copy_missing(source, target, tmp_path, names).copied == 1


def test_what_was_cut_at_the_target_is_put_right(
    stores: tuple[Objects, Objects], names: list[str], tmp_path: Path
) -> None:
    source, target = stores
    copy_missing(source, target, tmp_path)
    cut(target, names[4])
    assert copy_missing(source, target, tmp_path).copied == 1
    target.check(names[4])


@pytest.mark.parametrize("damage", [spoil, cut, Objects.remove])
def test_what_the_target_has_whole_is_not_lost_with_its_source(
    stores: tuple[Objects, Objects], names: list[str], tmp_path: Path, damage: Callable[[Objects, str], object]
) -> None:
    source, target = stores
    copy_missing(source, target, tmp_path)
    damage(source, names[2])
    assert copy_missing(source, target, tmp_path, names).lost == ()
    assert target.get(names[2]) == DATA[2]


def test_what_was_interrupted_goes_on_where_it_was(stores: tuple[Objects, Objects], tmp_path: Path) -> None:
    source, target = stores
    work = tmp_path / "work"
    work.mkdir()

    def interrupt(done: int, _total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_missing(source, target, work, on_bytes=interrupt)
    assert list(work.iterdir()) == []
    (kept,) = target.list_all()
    assert copy_missing(source, target, work) == Copied(5, 21_000 - kept.length, 1, ())
