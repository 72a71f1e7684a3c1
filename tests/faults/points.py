"""Every fault point of one act: its operations, each with every way in which it can fail."""

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
    """One operation of an act, and what happens there."""

    act: str
    number: int
    operation: Operation
    way: str

    def __str__(self) -> str:
        return f"{self.act}, operation {self.number} ({self.operation}): {self.way}"


@dataclass(frozen=True)
class Recorded:
    """An act as it runs undisturbed."""

    case: Case
    start: disk.Tree
    tape: Tape
    lost: dict[int, set[Left]]
    """By operation: what power may leave if it fails right after it."""


@dataclass(frozen=True)
class Left:
    """A disk after a power cut; `done`: whoever waited for the act had been told that it was done."""

    files: tuple[tuple[str, bytes | str | None], ...]
    done: bool


def recorded(site: Site, act: Act, folder: Path) -> Recorded:
    """Run an act in `folder`, and work out what a power cut would leave at each of its operations."""
    start, model, before = disk.read(folder), disk.Disk(folder), known(folder)
    tape = record(act, folder)
    lost, done = {}, False
    for number, operation in enumerate(tape.operations):
        if number not in tape.failed and operation.kind != "receive":
            model.apply(operation)
        # A report comes after the switch; after the last operation, the command says so itself.
        done |= operation.path == REPORTS or number == len(tape.operations) - 1
        if operation.counted:
            lost[number] = {Left(tuple(tree.items()), done) for tree in model.states()}
    assert model.seen() == disk.read(folder), "the tape does not tell what became of the folder"
    return Recorded(Case(site, act, before, known(folder)), start, tape, lost)


def tried(
    recorded: Recorded, at_once: int, chosen: Callable[[Operation], bool] = lambda operation: operation.counted
) -> Iterator[tuple[Point, str]]:
    """Try every fault point, or those of some operations; yield each with what went wrong, or nothing."""
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
    """Let power fail at these operations; each disk is tried once, however many points may leave it."""
    every = dict.fromkeys(left for number in numbers for left in recorded.lost[number])
    trials = ((left, partial(without_power, recorded.case, dict(left.files), left.done)) for left in every)
    outcomes = dict(side_by_side(trials, at_once))
    for number in numbers:
        lefts = recorded.lost[number]
        flaws = [_told(left, outcomes[left]) for left in lefts if outcomes[left]]
        point = Point(recorded.case.act.name, number, recorded.tape.operations[number], "power lost")
        yield point, f"{len(flaws)} of {len(lefts)} disks: {min(flaws)}" if flaws else ""


def _told(left: Left, flaw: str) -> str:
    names = (f"{path} ({len(content)})" if content is not None else f"{path}/" for path, content in left.files)
    return f"{flaw}; with {', '.join(names)}"
