"""Errors that are counted in the field and told to a server, with a fault at any operation."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from diffclient.errors import DiffClientError
from diffclient.store import field_counts
from diffclient.store.store import Store
from diffclient.update import tell_field
from tests.faults import disk
from tests.faults.fault import Fault, ways
from tests.faults.recording import recording
from tests.faults.tape import Tape
from tests.faults.trial import scratch

DIGEST = "ab" * 32
BEFORE, MORE = (2, 20), (3, 50)
"""Errors and words that were counted before the act, and that one of the acts counts."""

Act = Callable[[Path, Path], None]
"""What is done with a device's folder and a server's."""


def count(device: Path, _server: Path) -> None:
    """Count some more."""
    field_counts.record(device / "store", DIGEST, *MORE)


def tell(device: Path, server: Path) -> None:
    """Report what has gathered, as an update does after its poll was answered."""
    store = Store(device / "store")
    with store.locked():
        state = tell_field.gather(store, store.state(), 0)
        for report in state.outbox:
            (server / str(report.report_id)).write_text(json.dumps([report.errors, report.total]))
        store.save(replace(state, outbox=()))


def flaws(act: Act) -> Iterator[tuple[str, str]]:
    """Try every way to fail at every operation of an act; yield each with its flaw, or an empty string."""
    with tempfile.TemporaryDirectory(dir=scratch()) as name:
        device, server = _begun(Path(name))
        start, model = disk.read(device), disk.Disk(device)
        with recording(Tape(device)) as tape:
            act(device, server)
        told = list(server.iterdir())
        drafts = [
            number for number, operation in enumerate(tape.operations) if operation.path.endswith("state.json.new")
        ]
        for number, operation in enumerate(tape.operations):
            for way in ways(operation) if operation.counted else ():
                yield f"{operation}: {way}", _struck(act, start, Fault(number, way))
            if number not in tape.failed:
                model.apply(operation)
            # The server has the reports from when on the state is written without them.
            known = told if drafts and number >= drafts[len(drafts) // 2] else []
            for tree in model.states() if operation.counted else ():
                done = number == len(tape.operations) - 1
                yield f"{operation}: power lost", _without_power(act, tree, known, done)


def _begun(folder: Path) -> tuple[Path, Path]:
    device, server = folder / "device", folder / "server"
    server.mkdir()
    device.mkdir()
    field_counts.record(device / "store", DIGEST, *BEFORE)
    return device, server


def _struck(act: Act, start: disk.Tree, fault: Fault) -> str:
    with tempfile.TemporaryDirectory(dir=scratch()) as name:
        device, server = Path(name) / "device", Path(name) / "server"
        server.mkdir()
        disk.write(start, device)
        if process := os.fork():
            return _flaw(act, device, server, done=os.waitpid(process, 0)[1] == 0)
        with recording(Tape(device, fault)):
            try:
                act(device, server)
            except (DiffClientError, OSError):
                os._exit(1)
        os._exit(0)


def _without_power(act: Act, tree: disk.Tree, reports: list[Path], done: bool) -> str:
    with tempfile.TemporaryDirectory(dir=scratch()) as name:
        device, server = Path(name) / "device", Path(name) / "server"
        server.mkdir()
        for report in reports:
            (server / report.name).write_bytes(report.read_bytes())
        disk.write(tree, device)
        return _flaw(act, device, server, done)


def _flaw(act: Act, device: Path, server: Path, done: bool) -> str:
    """Let a device go on, and compare what its server knows with what was counted."""
    for _ in range(2):
        tell(device, server)
    pairs = [json.loads(path.read_text()) for path in server.iterdir()]
    known = (sum(errors for errors, _ in pairs), sum(total for _, total in pairs))
    more = (BEFORE[0] + MORE[0], BEFORE[1] + MORE[1])
    right = {BEFORE} if act is tell else {more} if done else {BEFORE, more}
    return "" if known in right else f"the server knows of {known}, and not of {right}"
