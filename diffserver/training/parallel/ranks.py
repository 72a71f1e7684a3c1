"""The processes of a training, as their parent sees them: started, heard, and ended, whatever becomes of them.

Spawned, not forked: the parent has threads, and may have used CUDA. What is made of what they say is left to
`processes`.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from time import monotonic
from typing import NoReturn

from diffserver.methods.method import MethodError
from diffserver.training.parallel.messages import GO, SAVE, Done, Failure, Here, Progress, Saved, Step
from diffserver.training.parallel.rank import Orders, work
from diffserver.training.progress import Cancelled, OnProgress

LOOK_SECONDS = 0.5
"""The time after which the parent looks whether the training should go on, though nothing was said."""

SILENT_SECONDS = 600.0
"""Once one process trains and none has said anything for so long, one hangs."""

CAUSE_SECONDS = 1.0
"""How long others are heard after a process has failed: they may know the cause."""

GRACE_SECONDS = 10.0
"""How long a process that is done may take to end."""


class RankError(Exception):
    """What nobody expected, in one of the processes; its traceback is a note."""


@dataclass(eq=False)
class _Rank:
    """One process."""

    name: str
    process: SpawnProcess
    end: Connection
    heard: int = 0
    """How often it was `Here`."""
    done: bool = False
    failure: Failure | None = None

    @property
    def silent(self) -> bool:
        """Whether it has ended without a word."""
        return self.end.closed and not self.done and self.failure is None


@contextmanager
def started(orders: Orders, on_progress: OnProgress) -> Iterator[Ranks]:
    """Start the processes of a training; none is left after the block."""
    spawn, count = multiprocessing.get_context("spawn"), len(orders.accelerators)
    ranks = list[_Rank]()
    try:
        for number, accelerator in enumerate(orders.accelerators):
            end, their_end = spawn.Pipe()
            process = spawn.Process(target=work, args=(number, orders, their_end), name=f"rank {number}")
            ranks.append(_Rank(f"process {number + 1} of {count} ({accelerator})", process, end))
            process.start()
            their_end.close()
        yield Ranks(ranks, on_progress)
        for rank in ranks:
            rank.process.join(GRACE_SECONDS)
    finally:
        for rank in ranks:
            if rank.process.pid is not None:
                rank.process.kill()
        for rank in ranks:
            if rank.process.pid is not None:
                rank.process.join()
            rank.end.close()


class Ranks:
    """The processes while they run. What they say raises whatever ends the training."""

    def __init__(self, ranks: Sequence[_Rank], on_progress: OnProgress) -> None:
        self._ranks, self._on_progress = ranks, on_progress
        self._latest = Progress(0.0, f"starts {len(ranks)} processes")
        self._said: deque[Step | Saved | Done] = deque()
        self._heard = monotonic()

    def hear(self) -> Step | Saved | Done:
        """Return what the first process says next; raises Cancelled, or the cause for which a process failed."""
        while not self._said:
            if not self._listen(LOOK_SECONDS):
                self._look()
            if any(rank.failure or rank.silent for rank in self._ranks):
                self._fail()
        return self._said.popleft()

    def save(self) -> None:
        """Answer a step: have the state saved."""
        self._ranks[0].end.send(SAVE)
        self._heard = monotonic()

    def go(self) -> None:
        """Answer a step: let the training go on."""
        self._ranks[0].end.send(GO)
        self._heard = monotonic()

    def _listen(self, seconds: float) -> bool:
        """Take what processes say, or that they have ended; return whether there was anything in the time."""
        ends = {rank.end: rank for rank in self._ranks if not rank.end.closed}
        ready = wait(list(ends), seconds)
        for end in ready:
            assert isinstance(end, Connection)
            try:
                self._take(ends[end], end.recv())
            except (EOFError, OSError):
                end.close()
        self._heard = monotonic() if ready else self._heard
        return bool(ready)

    def _take(self, rank: _Rank, said: object) -> None:
        if isinstance(said, Here):
            rank.heard += 1
        if isinstance(said, Failure):
            rank.failure = said
        rank.done = rank.done or isinstance(said, Done)
        if isinstance(said, Progress):
            self._latest = said
            self._go_on()
        if isinstance(said, (Step, Saved, Done)) and rank is self._ranks[0]:
            self._said.append(said)

    def _go_on(self) -> None:
        """Raise Cancelled unless the training is to go on."""
        if not self._on_progress(self._latest.progress, self._latest.message):
            raise Cancelled(f"stopped at {self._latest.message}")

    def _look(self) -> None:
        """Raise Cancelled if nobody wants the training any more, MethodError if a process hangs."""
        self._go_on()
        if monotonic() - self._heard < SILENT_SECONDS or not any(rank.heard for rank in self._ranks):
            return
        behind = min(rank.heard for rank in self._ranks)
        late = [rank.name for rank in self._ranks if rank.heard == behind]
        who = ", ".join(late) if len(late) < len(self._ranks) else "every process, each waiting for the others,"
        raise MethodError(f"{who} hangs: nothing was heard for {SILENT_SECONDS:g} s after: {self._latest.message}")

    def _fail(self) -> NoReturn:
        """Raise the cause: a process that ended without a word, else what failed first; others fail as they lose it.

        If the whole group is told to end, this process hears of it meanwhile, and the training has not failed.
        """
        until = monotonic() + CAUSE_SECONDS
        while (left := until - monotonic()) > 0:
            self._listen(left)
        if silent := next((rank for rank in self._ranks if rank.silent), None):
            silent.process.join(GRACE_SECONDS)
            raise MethodError(f"{silent.name} {_ending(silent.process.exitcode)} after: {self._latest.message}")
        failed = [(rank.failure, rank.name) for rank in self._ranks if rank.failure]
        failure, name = min(failed, key=lambda one: one[0].moment)
        if failure.kind is not Exception:
            raise failure.kind(failure.text)
        error = RankError(f"{name}: {failure.text}")
        error.add_note(failure.traceback)
        raise error


def _ending(status: int | None) -> str:
    if status is None:
        return "closed its connection"
    if status >= 0:
        return f"ended with status {status}"
    by = " (by hand, or as memory ran out)" if status == -signal.SIGKILL else ""
    return f"was ended by signal {-status}{by}"
