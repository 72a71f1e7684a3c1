"""The model of power cuts: all states after a few operations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.disk import EXHAUSTIVE, Disk, read, write
from tests.faults.operation import Operation

DRAFT = [Operation("open", "draft", 1), Operation("write", "draft", 1, data=b"new!")]
SYNC = Operation("sync", "draft", 1)
RENAME = Operation("rename", "draft", target="state")
FOLDER = [Operation("look", ".", 2), Operation("sync", ".", 2)]
OLD, NEW = {"state": b"old"}, {"state": b"new!"}


def left(start: Path, operations: Sequence[Operation]) -> list[dict[str, bytes | str | None]]:
    """The distinct trees that power may leave after these operations."""
    disk = Disk(start)
    for operation in operations:
        disk.apply(operation)
    trees: list[dict[str, bytes | str | None]] = []
    for tree in disk.states():
        if dict(tree) not in trees:
            trees.append(dict(tree))
    return trees


@pytest.fixture
def start(tmp_path: Path) -> Path:
    folder = tmp_path / "start"
    folder.mkdir()
    (folder / "state").write_bytes(b"old")
    return folder


def test_a_file_that_was_synced_and_renamed_and_its_folder_synced_is_there(start: Path) -> None:
    assert left(start, [*DRAFT, SYNC, RENAME, *FOLDER]) == [NEW]


def test_without_a_sync_of_the_folder_the_old_name_may_stand(start: Path) -> None:
    trees = left(start, [*DRAFT, SYNC, RENAME])
    assert OLD in trees
    assert NEW in trees
    assert all(tree["state"] in (b"old", b"new!") for tree in trees)  # a rename within a folder is one change


def test_without_a_sync_of_the_file_the_new_name_may_stand_for_anything(start: Path) -> None:
    trees = left(start, [*DRAFT, RENAME, *FOLDER])
    assert [tree["state"] for tree in trees] == [b"", b"new!", bytes(4), b"ne"]


def test_a_write_after_a_sync_may_be_torn_or_alone(start: Path) -> None:
    more = [Operation("write", "draft", 1, offset=4, data=b"more"), Operation("write", "draft", 1, offset=8, data=b"X")]
    drafts = [tree["draft"] for tree in left(start, [*DRAFT, *FOLDER, SYNC, *more])]
    assert drafts == [b"new!", b"new!moreX", bytes(9), b"new!more", b"new!\0\0\0\0X"]


def test_a_rename_between_folders_may_leave_both_names_or_none(start: Path) -> None:
    for folder in ("one", "two"):
        (start / folder).mkdir()
    (start / "one" / "file").write_bytes(b"x")
    trees = left(start, [Operation("rename", "one/file", target="two/file")])
    assert [("one/file" in tree, "two/file" in tree) for tree in trees] == [
        (True, False), (True, True), (False, False), (False, True),
    ]  # fmt: skip


def test_unsynced_removals_come_back_in_every_combination(start: Path) -> None:
    names = [f"f{number}" for number in range(EXHAUSTIVE)]
    for name in names:
        (start / name).write_bytes(b"")
    trees = left(start, [Operation("unlink", name) for name in names])
    assert len(trees) == 2**EXHAUSTIVE
    (start / "another").write_bytes(b"")
    many = left(start, [Operation("unlink", name) for name in (*names, "another")])
    kept = [[name in tree for name in (*names, "another")] for tree in many]
    assert [True] * 7 in kept
    assert [False] * 7 in kept
    for at in range(7):  # one alone, all but one, all up to one, all from one on
        for rule in (int.__eq__, int.__ne__, int.__lt__, int.__ge__):
            assert [not rule(number, at) for number in range(7)] in kept


def test_a_folder_whose_name_is_lost_takes_its_files_with_it(start: Path) -> None:
    calls = [Operation("mkdir", "slot"), Operation("open", "slot/w", 3), Operation("write", "slot/w", 3, data=b"w"),
             Operation("sync", "slot/w", 3)]  # fmt: skip
    assert {frozenset(tree) for tree in left(start, calls)} == {
        frozenset({"state"}), frozenset({"state", "slot"}), frozenset({"state", "slot", "slot/w"}),
    }  # fmt: skip


def test_many_unsynced_files_are_torn_one_by_one(start: Path) -> None:
    calls = []
    for number in range(6):
        calls += [Operation("open", f"f{number}", number), Operation("write", f"f{number}", number, data=b"data")]
    disk = Disk(start)
    for operation in [*calls, Operation("look", ".", 9), Operation("sync", ".", 9)]:
        disk.apply(operation)
    trees = [tuple(tree[f"f{number}"] for number in range(6)) for tree in disk.states()]
    assert len(trees) == 2 * (6 * 4 + 1)  # and the one that did not change
    assert {(b"",) * 6, (b"data",) * 6, (b"da", *[b""] * 5), (b"da", *[b"data"] * 5)} <= set(trees)


def test_trees_are_written_and_read(tmp_path: Path, start: Path) -> None:
    (start / "slots" / "a").mkdir(parents=True)
    (start / "slots" / "a" / "w").write_bytes(b"1")
    (start / "link").symlink_to("state")
    tree = read(start)
    assert tree == {"link": "state", "slots": None, "slots/a": None, "slots/a/w": b"1", "state": b"old"}
    write(tree, tmp_path / "copy")
    assert read(tmp_path / "copy") == tree
