"""A part of what `make faults` does, in seconds; and that it would notice a client that is less careful."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from diffclient import durable
from tests.faults import traced
from tests.faults.chain import acts
from tests.faults.operation import Operation
from tests.faults.points import Recorded, recorded, tried, unpowered
from tests.faults.site import Site, serving
from tests.faults.trial import record

AT_ONCE = 2
COUNTING, UPDATE = 2, 3


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("server"), 2) as running:
        yield running


@pytest.fixture(scope="module")
def installed(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A device that runs version 0, counted some errors, and is about to be assigned version 1."""
    folder = tmp_path_factory.mktemp("device")
    for act in acts(site, 1)[: COUNTING + 1]:
        site.assign(act.target)
        record(act, folder)
    return folder


@pytest.fixture
def device(installed: Path, site: Site, tmp_path: Path) -> Path:
    site.assign(acts(site, 1)[UPDATE].target)
    return Path(shutil.copytree(installed, tmp_path / "device"))


def update(site: Site, device: Path) -> Recorded:
    return recorded(site, acts(site, 1)[UPDATE], device)


def switching(operation: Operation) -> bool:
    """What makes the new version the one in use."""
    return operation.kind != "look" and Path(operation.path).name in ("store", "state.json", "state.json.new")


def trusting(operation: Operation) -> bool:
    """What makes newer metadata the one that is relied on."""
    return operation.kind != "look" and Path(operation.path).name in ("trust", "timestamp.json.new")


@pytest.mark.parametrize("chosen", [switching, trusting])
def test_every_way_to_fail(site: Site, device: Path, chosen: Callable[[Operation], bool]) -> None:
    outcomes = dict(tried(update(site, device), AT_ONCE, chosen))
    assert len(outcomes) > 30
    assert {point: flaw for point, flaw in outcomes.items() if flaw} == {}


def forgetting_files(name: str) -> Callable[[BinaryIO], None]:
    """Syncing files, but for those of a name."""
    real = durable.settle

    def settle(file: BinaryIO) -> None:
        if Path(f"/proc/self/fd/{file.fileno()}").readlink().name == name:
            file.flush()
        else:
            real(file)

    return settle


def forgetting_folder(name: str) -> Callable[[Path], None]:
    """Syncing files and folders, but for those of a name."""
    real = durable.sync
    return lambda path: None if path.name == name else real(path)


def in_place(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writing without a draft."""
    with path.open("wb") as file:
        file.write(data)
        durable.settle(file)


Chosen = Callable[[Operation], bool]
CARELESS: list[tuple[str, Callable[..., None], Chosen, str]] = [
    ("settle", forgetting_files("state.json.new"), switching, "StateError"),
    ("sync", forgetting_folder("store"), switching, "what was done is undone"),
    ("write_file", in_place, switching, "StateError"),
    ("settle", forgetting_files("timestamp.json.new"), trusting, "JSONDecodeError"),
    ("sync", forgetting_folder("trust"), switching, "forgot the "),
]


@pytest.mark.parametrize(("function", "careless", "chosen", "flaw"), CARELESS)
def test_carelessness_is_noticed(
    site: Site, device: Path, monkeypatch: pytest.MonkeyPatch,
    function: str, careless: Callable[..., None], chosen: Chosen, flaw: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(durable, function, careless)
    run = update(site, device)
    numbers = [number for number in run.lost if chosen(run.tape.operations[number])]
    flaws = [what for what in dict(unpowered(run, numbers[-3:], AT_ONCE)).values() if what]
    assert any(flaw in what for what in flaws), flaws


def test_the_tape_misses_nothing_that_strace_sees(site: Site, device: Path, tmp_path: Path) -> None:
    if why := traced.available():
        pytest.skip(why)
    taped, seen = traced.traced(device, tmp_path / "log", *acts(site, 1)[UPDATE].command)
    assert taped == seen
    assert {line.split()[0] for line in seen} == {"open", "write", "truncate", "sync", "rename", "unlink", "mkdir"}
    assert len(seen) > 60


def test_calls_are_read_from_strace() -> None:
    log = """\
7 openat(AT_FDCWD</dev>, "/dev/s/a.new", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0644) = 5</dev/s/a.new>
7 write(5</dev/s/a.new>, "path, \\\\"/dev/s/x\\\\"", 4) = 4
7 openat(AT_FDCWD</dev>, "/dev/s/a", O_RDONLY) = 6
8 fsync(5</dev/s/a.new> <unfinished ...>
8 <... fsync resumed>) = 0
7 rename("/dev/s/a.new", "/dev/s/a") = 0
7 unlinkat(4</dev/s/d>, "f", 0) = 0
7 unlinkat(AT_FDCWD</dev>, "/dev/s/d", AT_REMOVEDIR) = 0
7 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 6</dev/s/a>, 0) = 0x7f
7 write(1</dev/null>, "x", 1) = 1
"""
    assert traced.calls(log, Path("/dev/s")) == [
        "open a.new", "write a.new", "sync a.new", "rename a.new", "unlink d/f", "rmdir d", "other a",
    ]  # fmt: skip
