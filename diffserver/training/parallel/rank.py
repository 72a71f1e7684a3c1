"""One of the processes of a training: it finds task and examples by itself, and tells its parent what happens.

It ends with its parent, however that ends. Signals to the worker's whole group are the worker's affair: it ends the
others. What the parent makes of what it hears is left to `ranks` and `processes`.
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from diffclient.errors import DiffClientError
from diffserver.errors import DiffServerError
from diffserver.methods.method import MethodError
from diffserver.tasks import Example, Task, TaskError
from diffserver.training import saved_state
from diffserver.training.assignment import Assignment
from diffserver.training.batches import Lesson
from diffserver.training.parallel.share import Share
from diffserver.training.saved_state import State, UnfitState

START, STATE, MEETING = "start", "state", "meeting"
"""The files of a training's processes: the state that they go on from, the one that was saved last, and a store."""

EXPECTED = (MethodError, TaskError, DiffClientError, DiffServerError)
"""Failures whose messages the request's author reads."""

ALIKE_STEPS = 100
"""After so many steps processes compare what they train."""

PATIENCE = timedelta(days=7)
"""How long one waits for another: whether one hangs is judged by the parent, which knows which."""


@dataclass(frozen=True)
class Orders:
    """What every process of a training is told."""

    assignment: Assignment
    accelerators: tuple[str, ...]
    find: Callable[[], Task]
    folders: tuple[Path, ...]
    """The domains' folders, the new one's last."""
    files: Path
    """Where START, STATE and MEETING are."""
    threads: int


@dataclass(frozen=True)
class Here:
    """A process waits for no other."""


@dataclass(frozen=True)
class Progress:
    """How far the training is; the first process says it."""

    progress: float
    message: str


@dataclass(frozen=True)
class Step(Progress):
    """A step was made; the process goes on when it is answered. After the last one the state is saved."""

    ended: bool


@dataclass(frozen=True)
class Saved:
    """The state is saved, as the answer to a step asked for."""


@dataclass(frozen=True)
class Done:
    """The process has no more to do."""


@dataclass(frozen=True)
class Failure:
    """Why a process ends; the moment tells a cause from what follows of it."""

    moment: float
    kind: type[Exception]
    """UnfitState, MethodError for what a request's author reads, or Exception for what nobody expected."""
    text: str
    traceback: str


SAVE, GO = "save", "go"
"""The answers to a step: to save the state, which is asked for any number of times, and to go on."""


def work(rank: int, orders: Orders, end: Connection) -> None:
    """Train as one of the processes."""
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    said: Done | Failure = Done()
    try:
        _train(rank, orders, end)
    except BaseException as error:  # a task's code may call sys.exit
        said = _failure(error)
    end.send(said)
    sys.stdout.flush()
    os._exit(isinstance(said, Failure))  # to tidy up an interpreter with torch may take seconds


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


def _failure(error: BaseException) -> Failure:
    if isinstance(error, (UnfitState, *EXPECTED)):
        kind: type[Exception] = UnfitState if isinstance(error, UnfitState) else MethodError
        return Failure(monotonic(), kind, str(error), "")
    return Failure(monotonic(), Exception, f"{type(error).__name__}: {error}", traceback.format_exc())


def _train(rank: int, orders: Orders, end: Connection) -> None:
    torch.set_num_threads(orders.threads)
    _meet(rank, orders)
    link = Link(rank, end, orders.files)
    task = orders.find()
    lesson = _lesson(task, orders.folders, link)
    share = Share(task, orders.assignment.seed, rank, len(orders.accelerators), link.here)
    orders.assignment.train(
        orders.assignment.setting(task), share, lesson,
        device=orders.accelerators[rank], on_progress=link.note, keeper=link,
    )  # fmt: skip
    dist.destroy_process_group()


def _meet(rank: int, orders: Orders) -> None:
    """Join the other processes, by a file and the loopback interface: two workers on a machine need no ports."""
    device = torch.device(orders.accelerators[rank])
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    for library in ("GLOO", "NCCL"):
        os.environ.setdefault(f"{library}_SOCKET_IFNAME", loopback)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    store = f"file://{orders.files / MEETING}"
    dist.init_process_group(backend, store, rank=rank, world_size=len(orders.accelerators), timeout=PATIENCE)


def _lesson(task: Task, folders: Sequence[Path], link: Link) -> Lesson:
    def read(folder: Path) -> Sequence[Example]:
        link.reads(folder)
        return task.examples(folder, "train")

    *earlier, new = map(read, folders)
    return Lesson(new, earlier)


class Link:
    """What a process says to its parent; to the training loop it is the keeper of states."""

    def __init__(self, rank: int, end: Connection, files: Path) -> None:
        self._rank, self._end, self._files = rank, end, files
        self._step = 0
        self._noted = (0.0, "")

    def here(self) -> int:
        """Say that this process waits for no other, and return its step."""
        self._end.send(Here())
        return self._step

    def reads(self, folder: Path) -> None:
        """Say that a folder is read."""
        if self._rank == 0:
            self._end.send(Progress(0.0, f"reads {folder.name}"))

    def note(self, progress: float, message: str) -> bool:
        """Keep the progress for the end of the step. A training is cancelled by the parent, who ends its processes."""
        self._noted = (progress, message)
        return True

    def last(self) -> State | None:
        """Return the state to go on from."""
        path = self._files / START
        if not path.exists():
            return None
        state = saved_state.read(path)
        self._step = state["diff"]["done"]
        return state

    def refuse(self, reason: str) -> None:
        """Leave it to the parent, who hears of it by the error."""

    def keep(self, state: Callable[[], State], *, ended: bool) -> None:
        """Say that a step was made, and save the state where the parent asks for it."""
        self._step += 1
        if ended or self._step % ALIKE_STEPS == 0:
            _require_alike(state())
        if self._rank == 0:
            if ended:
                self._save(state)
            self._end.send(Step(*self._noted, ended))
            while self._end.recv() == SAVE:
                self._save(state)
                self._end.send(Saved())

    def _save(self, state: Callable[[], State]) -> None:
        saved_state.write(state(), self._files / STATE)


def _require_alike(state: State) -> None:
    """Raise MethodError unless all processes train the same values, and have decided the same of them."""
    whole = hashlib.sha256()
    _add(whole, [state["diff"]["values"], state["diff"]["schedule"]])
    digests: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(digests, whole.hexdigest())
    if len(set(digests)) > 1:
        raise MethodError(
            f"the processes no longer train the same diff after step {state['diff']['done']}: "
            "use accelerators of one kind, or one alone"
        )


def _add(whole: Any, value: object) -> None:
    """Add a value to a hash: tensors by their bytes, in order."""
    if isinstance(value, Tensor):
        whole.update(value.detach().cpu().contiguous().numpy().tobytes())
    elif isinstance(value, Mapping):
        _add(whole, list(value.items()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            _add(whole, item)
    else:
        whole.update(repr(value).encode())
