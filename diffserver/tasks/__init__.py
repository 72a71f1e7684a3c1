"""Tasks: what is trained and measured; code outside this package does not depend on any particular task.

`task` defines a task, `registry` finds one by name, and `plain` is the base class for new ones.
"""

from diffserver.tasks.errors import CorpusError, DataError, TaskError
from diffserver.tasks.registry import load_task, open_task
from diffserver.tasks.task import Batch, Example, Forward, GivesRecipes, MakesData, Session, Task

__all__ = [
    "Batch", "CorpusError", "DataError", "Example", "Forward", "GivesRecipes", "MakesData", "Session", "Task",
    "TaskError", "load_task", "open_task",
]  # fmt: skip
