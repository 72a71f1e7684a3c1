"""Errors of a task and its data.

TaskError
├── DataError      a manifest line, an audio file or a character that the task cannot use; names file and line
└── CorpusError    the synthetic corpus cannot be made or reused
"""


class TaskError(Exception):
    """Root of the tasks' errors; the message names cause and remedy."""


class DataError(TaskError):
    """A manifest line, an audio file or a character that the task cannot use."""


class CorpusError(TaskError):
    """The synthetic corpus cannot be made, or the folder holds something else."""
