"""Tasks: what is trained and measured. Outside this package nothing knows what a model is about.

`task` says what a task is, `registry` how one is found by its name; `plain` is the class to start one's own from.
"""

from diffserver.tasks.registry import load_task, open_task

from .errors import CorpusError, DataError, TaskError
from .task import Batch, Example, Forward, MakesData, Session, Task

__all__ = [
    "Batch", "CorpusError", "DataError", "Example", "Forward", "MakesData", "Session", "Task", "TaskError", "load_task",
    "open_task",
]  # fmt: skip
