"""Run a process that fails at one operation, and check the device in another."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import TypeVar

from tests.faults import disk
from tests.faults.chain import Act, Case, do, flaw
from tests.faults.fault import Fault
from tests.faults.operation import Operation
from tests.faults.recording import recording
from tests.faults.tape import RunsDiffer, Tape

T = TypeVar("T")

PATIENCE = 300
"""Seconds after which a trial counts as hanging."""
_ANOTHER_ERROR, _UNLIKE, _NOT_REACHED = 70, 71, 72


def record(act: Act, folder: Path) -> Tape:
    """Record an act without faults in `folder`."""
    with recording(Tape(folder)) as tape:
        if code := do(act.command, folder):
            raise RuntimeError(f"{act.name} ends with exit code {code} without any fault")
    return tape


def with_fault(case: Case, start: disk.Tree, fault: Fault, expected: Operation) -> str:
    """Run a process with a fault; return what is then wrong with the device, or an empty string."""
    with tempfile.TemporaryDirectory(dir=scratch()) as name:
        folder = Path(name) / "device"
        disk.write(start, folder)
        status = os.waitpid(_fork(lambda: _victim(case.act, folder, fault, expected)), 0)[1]
        code = os.waitstatus_to_exitcode(status)
        if fault.way.startswith("killed") and code != -signal.SIGKILL:
            return f"was to be killed, and ended with {code}"
        if code in (_ANOTHER_ERROR, _UNLIKE, _NOT_REACHED) or (code < 0 and code != -signal.SIGKILL):
            return f"ended with {code}; see above"
        return flaw(case, folder, done=code == 0)


def without_power(case: Case, tree: disk.Tree, done: bool) -> str:
    """Start a device from a state after a power cut; return what is wrong with it, or an empty string."""
    with tempfile.TemporaryDirectory(dir=scratch()) as name:
        disk.write(tree, Path(name) / "device")
        return flaw(case, Path(name) / "device", done)


def scratch() -> Path | None:
    """Return a folder in memory, where the system has one: nothing here depends on a real disk."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and os.access(memory, os.W_OK) else None


def side_by_side(trials: Iterable[tuple[T, Callable[[], str]]], at_once: int) -> Iterator[tuple[T, str]]:
    """Run each trial in a fork of this process; yield its key and result as they end."""
    waiting = iter(trials)
    gc.freeze()  # or each fork's first collection would copy every page
    with DefaultSelector() as running:
        while True:
            while len(running.get_map()) < at_once and (trial := next(waiting, None)):
                about, run = trial
                reading, writing = os.pipe()
                process = _fork(lambda run=run, writing=writing: _tell(run, writing))  # type: ignore[misc]
                os.close(writing)
                running.register(reading, EVENT_READ, (about, process, bytearray()))
            if not running.get_map():
                return
            for key, _ in running.select():
                about, process, heard = key.data
                if part := os.read(key.fd, 1 << 16):
                    heard += part
                    continue
                running.unregister(key.fd)
                os.close(key.fd)
                code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
                yield about, heard.decode() if code == 0 else f"the trial itself ended with {code}"


def _tell(run: Callable[[], str], writing: int) -> None:
    os.write(writing, run().encode()[:60_000])


def _victim(act: Act, folder: Path, fault: Fault, expected: Operation) -> None:
    tape = Tape(folder, fault, expected)
    try:
        with recording(tape):
            code = do(act.command, folder)
    except RunsDiffer as error:
        print(error, flush=True)
        os._exit(_UNLIKE)
    os._exit(code if len(tape.operations) > fault.at else _NOT_REACHED)


def _fork(run: Callable[[], None]) -> int:
    """Run something in a process like this one, which ends with it."""
    process = os.fork()
    if process:
        return process
    signal.alarm(PATIENCE)
    time.sleep = lambda _seconds: None  # nobody is spared by waiting here
    try:
        run()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(_ANOTHER_ERROR)
