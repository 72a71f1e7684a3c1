"""What the processes of a training and their parent say to each other."""

from __future__ import annotations

from dataclasses import dataclass


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
