"""Find a task by its name or, for commands on this machine, by the place of its code.

A name belongs to a built-in task, to a file that the process was started with, or to an entry point of an installed
package. Loading a task runs its code, so requests over the network are looked up by name alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract
from types import ModuleType
from typing import Any

from diffclient.errors import NoSuchCode
from diffclient.measure import load_code
from diffclient.release.metric import Metric
from diffserver.choices.delivery import DELIVERY
from diffserver.tasks.errors import TaskError
from diffserver.tasks.task import Task

GROUP = "diffserver.tasks"
"""The entry point group of packages with tasks."""

BUILT_IN = {
    "asr": "diffserver.tasks.asr.task:AsrTask",
    "asr-words": "diffserver.tasks.asr.words:WordsTask",
    DELIVERY: "diffserver.tasks.delivery:DeliveryTask",
}

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")  # as the API takes it
_PATH = re.compile(r"(?P<module>.+\.py|[\w.]+(?=:))(:(?P<name>\w+))?")
_PARTS = {name: part for name, part in vars(Task).items() if not name.startswith("_")}
_REMEDY = (
    f"to add one, install a package with an entry point of the group {GROUP}, or start serve and worker with "
    "--task-file path/to/file.py"
)


@cache
def load_task(name: str, files: tuple[str, ...] = ()) -> Task:
    """Return the task of that name, the same object each time, so that its examples stay cached.

    `files` are those that this process may run: `path/to/file.py`, or `path/to/file.py:Class` if it holds several
    tasks. Raises TaskError, which lists the known names.
    """
    if name in BUILT_IN:
        return open_task(BUILT_IN[name])
    file_tasks, broken = _in_files(files)
    if name in file_tasks:
        return file_tasks[name]
    installed = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name in installed:
        return _installed(installed[name])
    names = ", ".join(sorted({*BUILT_IN, *file_tasks, *installed}))
    raise TaskError(". ".join([f"there is no task {name!r}; known: {names}; {_REMEDY}", *broken]))


@cache
def open_task(text: str) -> Task:
    """Return the task that a command on this machine names; raises TaskError.

    By name, by file (`path/to/file.py`, `path/to/file.py:Class`) or by module (`package.module:Class`).
    """
    match = _PATH.fullmatch(text)
    if match is None:
        return load_task(text)
    module = _module(match["module"])
    return _instance(getattr(module, match["name"], None), text) if match["name"] else _only_task(module, text)


def _in_files(files: Sequence[str]) -> tuple[dict[str, Task], list[str]]:
    """Return the tasks of these files by name, and the errors of the other files."""
    tasks: dict[str, Task] = {}
    broken = []
    for file in files:
        try:
            task = open_task(file)
            if task.name in {*BUILT_IN, *tasks}:
                raise TaskError(f"{file}: there is another task of the name {task.name!r}: choose another one")
            tasks[task.name] = task
        except TaskError as error:
            broken.append(str(error))
    return tasks, broken


def _installed(entry: EntryPoint) -> Task:
    task = _instance(getattr(_module(entry.module), entry.attr, None), entry.value)
    if task.name != entry.name:
        raise TaskError(f"{entry.value}: its name is {task.name!r}, and its entry point's {entry.name!r}")
    return task


def _module(path: str) -> ModuleType:
    try:
        return load_code.load_module(path)
    except NoSuchCode as error:
        raise TaskError(f"the task's code does not import: {error}") from error


def _only_task(module: ModuleType, text: str) -> Task:
    """Return an instance of the module's only task class; raises TaskError."""
    own = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    tasks = [value for value in own if not _missing(value)]
    if len(tasks) == 1:
        return _instance(tasks[0], text)
    if tasks:
        names = ", ".join(task.__name__ for task in tasks)
        raise TaskError(f"{text} holds several tasks: {names}; name one of them, as {text}:{tasks[0].__name__}")
    nearest = min(own, key=lambda value: len(_missing(value)), default=None)
    lacks = f": {nearest.__name__} lacks {', '.join(_missing(nearest))}" if nearest else ""
    raise TaskError(f"{text} holds no class that is a task{lacks}")


def _missing(candidate: Any) -> list[str]:
    """Return the names of a task's members that a class lacks."""
    abstract = sorted(candidate.__abstractmethods__) if isabstract(candidate) else []
    return abstract + [name for name, part in _PARTS.items() if getattr(candidate, name, part) is part]


def _instance(candidate: Any, text: str) -> Task:
    """Return a checked instance of a task class; raises TaskError."""
    if not isinstance(candidate, type):
        raise TaskError(f"{text} names no class that is a task")
    if missing := _missing(candidate):
        raise TaskError(f"{text} is no task: it lacks {', '.join(missing)}")
    try:
        task: Task = candidate()
    except Exception as error:  # anyone's code
        raise TaskError(f"{text}: {candidate.__name__}() raises {type(error).__name__}: {error}") from error
    name = getattr(task, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise TaskError(f"{text}: the task's name is {name!r}: use small letters, digits, '.', '_' and '-'")
    if not isinstance(getattr(task, "metric", None), Metric):
        raise TaskError(f"{text}: the task does not say its metric, as in metric = Metric('error rate', 'examples')")
    return task
