"""Finding a task: by its name, or, for whoever types a command on this machine, by the place of its code.

A name is a built-in task's, that of a file which the process was started with, or an entry point of an installed
package. To read a task is to run its code, so what comes over the network is looked up by name alone.
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
from diffserver.tasks.errors import TaskError
from diffserver.tasks.task import Task

GROUP = "diffserver.tasks"
"""The group of entry points in which packages announce their tasks."""

BUILT_IN = {"asr": "diffserver.tasks.asr.task:AsrTask", "asr-words": "diffserver.tasks.asr.words:WordsTask"}

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")  # as the API takes it
_PLACE = re.compile(r"(?P<module>.+\.py|[\w.]+(?=:))(:(?P<thing>\w+))?")
_PARTS = {name: part for name, part in vars(Task).items() if not name.startswith("_")}
_HOW = (
    f"to add one, install a package with an entry point of the group {GROUP}, or start serve and worker with "
    "--task-file path/to/file.py"
)


@cache
def load_task(name: str, files: tuple[str, ...] = ()) -> Task:
    """Return the task of that name, the same each time, with what it has read.

    `files` are those that this process may run: `path/to/file.py`, or `path/to/file.py:Class` if it holds several
    tasks. Raises TaskError, which lists the names that are known.
    """
    if name in BUILT_IN:
        return open_task(BUILT_IN[name])
    found, broken = _in_files(files)
    if name in found:
        return found[name]
    installed = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name in installed:
        return _installed(installed[name])
    known = ", ".join(sorted({*BUILT_IN, *found, *installed}))
    raise TaskError(". ".join([f"there is no task {name!r}; known: {known}; {_HOW}", *broken]))


@cache
def open_task(text: str) -> Task:
    """Return the task that someone at this machine asks for; raises TaskError.

    By name, by file (`path/to/file.py`, `path/to/file.py:Class`) or by module (`package.module:Class`).
    """
    place = _PLACE.fullmatch(text)
    if place is None:
        return load_task(text)
    module = _module(place["module"])
    return _made(getattr(module, place["thing"], None), text) if place["thing"] else _only_task(module, text)


def _in_files(files: Sequence[str]) -> tuple[dict[str, Task], list[str]]:
    """The tasks of these files by name, and what is wrong with the other files."""
    found: dict[str, Task] = {}
    broken = []
    for file in files:
        try:
            task = open_task(file)
            if task.name in {*BUILT_IN, *found}:
                raise TaskError(f"{file}: there is another task of the name {task.name!r}: choose another one")
            found[task.name] = task
        except TaskError as error:
            broken.append(str(error))
    return found, broken


def _installed(entry: EntryPoint) -> Task:
    task = _made(getattr(_module(entry.module), entry.attr, None), entry.value)
    if task.name != entry.name:
        raise TaskError(f"{entry.value}: its name is {task.name!r}, and its entry point's {entry.name!r}")
    return task


def _module(place: str) -> ModuleType:
    try:
        return load_code.load_module(place)
    except NoSuchCode as error:
        raise TaskError(f"the task's code does not import: {error}") from error


def _only_task(module: ModuleType, text: str) -> Task:
    """The one class of the module that is a task."""
    own = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    tasks = [value for value in own if not _missing(value)]
    if len(tasks) == 1:
        return _made(tasks[0], text)
    if tasks:
        names = ", ".join(task.__name__ for task in tasks)
        raise TaskError(f"{text} holds several tasks: {names}; name one of them, as {text}:{tasks[0].__name__}")
    nearest = min(own, key=lambda value: len(_missing(value)), default=None)
    lacks = f": {nearest.__name__} lacks {', '.join(_missing(nearest))}" if nearest else ""
    raise TaskError(f"{text} holds no class that is a task{lacks}")


def _missing(thing: Any) -> list[str]:
    """What a class lacks of a task."""
    abstract = sorted(thing.__abstractmethods__) if isabstract(thing) else []
    return abstract + [name for name, part in _PARTS.items() if getattr(thing, name, part) is part]


def _made(thing: Any, text: str) -> Task:
    """A task of a class, checked."""
    if not isinstance(thing, type):
        raise TaskError(f"{text} names no class that is a task")
    if missing := _missing(thing):
        raise TaskError(f"{text} is no task: it lacks {', '.join(missing)}")
    try:
        task: Task = thing()
    except Exception as error:  # anyone's code
        raise TaskError(f"{text}: {thing.__name__}() raises {type(error).__name__}: {error}") from error
    name = getattr(task, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise TaskError(f"{text}: the task's name is {name!r}: use small letters, digits, '.', '_' and '-'")
    if not isinstance(getattr(task, "metric", None), Metric):
        raise TaskError(f"{text}: the task does not say its metric, as in metric = Metric('error rate', 'examples')")
    return task
