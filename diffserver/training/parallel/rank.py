"""One of the processes of a training: it finds task and examples by itself, and tells its parent what happens.

It ends with its parent, however that ends. Signals to the worker's whole group are the worker's affair: it ends the
others. What the parent makes of what it hears is left to `ranks` and `processes`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic

import torch
import torch.distributed as dist

from diffclient.errors import DiffClientError
from diffserver.errors import DiffServerError
from diffserver.methods.method import MethodError
from diffserver.tasks import Example, Task, TaskError
from diffserver.training.assignment import Assignment
from diffserver.training.batches import Lesson
from diffserver.training.parallel.link import Link
from diffserver.training.parallel.messages import Done, Failure
from diffserver.training.parallel.share import Share
from diffserver.training.saved_state import UnfitState

MEETING = "meeting"
"""The file by which processes find each other."""

EXPECTED = (MethodError, TaskError, DiffClientError, DiffServerError)
"""Failures whose messages the request's author reads."""

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
    """A folder for what they share."""
    threads: int


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
