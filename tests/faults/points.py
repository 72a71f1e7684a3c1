"""The fault points of an act: every operation with every way in which it can fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults import disk
from tests.faults.chain import Act, Case, known
from tests.faults.fault import Fault, ways
from tests.faults.operation import Operation
from tests.faults.site import Site
from tests.faults.tape import Tape
from tests.faults.trial import record, side_by_side, with_fault, without_power

REPORTS = "/v1/device/reports"


@dataclass(frozen=True)
class Point:
    """An operation of an act, and the fault there."""

    act: str
    number: int
    operation: Operation
    way: str

    def __str__(self) -> str:
        return f"{self.act}, operation {self.number} ({self.operation}): {self.way}"


@dataclass(frozen=True)
class Recorded:
    """The recording of an act without faults."""

    case: Case
    start: disk.Tree
    tape: Tape
    lost: dict[int, set[DiskState]]
    """By operation: the states of the disk after a power cut right after it."""


@dataclass(frozen=True)
class DiskState:
    """A disk after a power cut; `done`: whoever waited for the act had been told that it was done."""

    files: tuple[tuple[str, bytes | str | None], ...]
    done: bool


def recorded(site: Site, act: Act, folder: Path) -> Recorded:
    """Record an act in `folder`, with the states that a power cut may leave after each operation."""
    start, model, before = disk.read(folder), disk.Disk(folder), known(folder)
    tape = record(act, folder)
    told = max((number for number, operation in enumerate(tape.operations) if operation.path == REPORTS), default=None)
    lost, done = {}, False
    for number, operation in enumerate(tape.operations):
        if number not in tape.failed and operation.kind != "receive":
            model.apply(operation)
        # The last report comes after the switch; after the last operation, the command says so itself.
        done |= number in (told, len(tape.operations) - 1)
        if operation.counted:
            lost[number] = {DiskState(tuple(tree.items()), done) for tree in model.states()}
    assert model.seen() == disk.read(folder), "the tape does not tell what became of the folder"
    return Recorded(Case(site, act, before, known(folder)), start, tape, lost)


def tried(
    recorded: Recorded, at_once: int, chosen: Callable[[Operation], bool] = lambda operation: operation.counted
) -> Iterator[tuple[Point, str]]:
    """Test every fault point, or those of some operations; yield each with its flaw, or an empty string."""
    numbers = [number for number in recorded.lost if chosen(recorded.tape.operations[number])]
    yield from side_by_side(_struck(recorded, numbers), at_once)
    yield from unpowered(recorded, numbers, at_once)


def _struck(recorded: Recorded, numbers: Sequence[int]) -> Iterator[tuple[Point, Callable[[], str]]]:
    for number in numbers:
        operation = recorded.tape.operations[number]
        for way in ways(operation):
            run = partial(with_fault, recorded.case, recorded.start, Fault(number, way), operation)
            yield Point(recorded.case.act.name, number, operation, way), run


def unpowered(recorded: Recorded, numbers: Sequence[int], at_once: int) -> Iterator[tuple[Point, str]]:
    """Cut power at these operations; each state of the disk is tested once."""
    every = dict.fromkeys(left for number in numbers for left in recorded.lost[number])
    trials = ((left, partial(without_power, recorded.case, dict(left.files), left.done)) for left in every)
    outcomes = dict(side_by_side(trials, at_once))
    for number in numbers:
        lefts = recorded.lost[number]
        flaws = [_describe(left, outcomes[left]) for left in lefts if outcomes[left]]
        point = Point(recorded.case.act.name, number, recorded.tape.operations[number], "power lost")
        yield point, f"{len(flaws)} of {len(lefts)} disks: {min(flaws)}" if flaws else ""


def _describe(left: DiskState, flaw: str) -> str:
    names = (f"{path} ({len(content)})" if content is not None else f"{path}/" for path, content in left.files)
    return f"{flaw}; with {', '.join(names)}"
