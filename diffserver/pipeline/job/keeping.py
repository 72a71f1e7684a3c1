"""Keep the states of a training in the object store, so that another worker can go on where this one is lost.

A row names the object; it can be written only by the worker that holds the training. A state that is damaged, or of
another training, is left alone and said. What a state holds is left to `training.saved_state`.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from obstore.exceptions import BaseError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from diffclient.release.manifest import Blob
from diffserver.catalog.jobs import saved_states
from diffserver.errors import DiffServerError, JobLost
from diffserver.pipeline.job.job_log import JobLog
from diffserver.storage.database import reading
from diffserver.storage.object_store import Objects
from diffserver.storage.patience import patient
from diffserver.storage.tables import SavedState
from diffserver.training import saved_state
from diffserver.training.saved_state import State, UnfitState

SPARED = 20
"""Saving takes about one part in so many of a training's time at most."""

AWAY = (SQLAlchemyError, BaseError, OSError)
"""What databases and object stores raise that may be back soon."""


@dataclass(frozen=True)
class States:
    """Where the states of one training go, by way of a file in the folder.

    They are `seconds` apart at least; 0 saves one after every step, whatever that takes.
    """

    engine: Engine
    objects: Objects
    log: JobLog
    training_id: int
    worker: str
    seconds: float
    folder: Path

    def of(self, part: str, about: Mapping[str, str]) -> "PartKeeper":
        """Return the keeper of a part of the training; `about` tells one part from another of the same name."""
        return PartKeeper(self, part, dict(about))


class PartKeeper:
    """The keeper of one part of a training, which is a training of its own to the loop."""

    def __init__(self, states: States, part: str, about: dict[str, str]) -> None:
        self._states, self._part, self._about = states, part, about
        self._refused = False
        self._began, self._next = monotonic(), monotonic() + states.seconds
        self.seconds_before = 0.0
        """The time that workers before took to come to the last state."""

    def last(self) -> State | None:
        """Return the state to go on from; None if there is none, or none that is of this training."""
        found = None if self._refused else patient(self._find)()
        if found is None:
            return None
        try:
            whole = self._read(found)
        except (UnfitState, DiffServerError, *AWAY) as error:
            self.refuse(str(error))
            return None
        self.seconds_before = whole["seconds"]
        self._states.log.info(f"{self._part} goes on from step {found.step}", saved_by=found.worker)
        state: State = whole["state"]
        return state

    def refuse(self, reason: str) -> None:
        """Say why the last state is of no use; there is none from then on."""
        self._refused, self.seconds_before = True, 0.0
        self._states.log.warning(f"the saved state of {self._part} is ignored", reason=reason)

    def keep(self, state: Callable[[], State], *, ended: bool) -> None:
        """Save the state if it is time, or the end; raises JobLost if another worker has the training."""
        if not ended and monotonic() < self._next:
            return
        began = monotonic()
        self._save(state())
        took = monotonic() - began
        self._next = monotonic() + max(self._states.seconds, SPARED * took) if self._states.seconds else 0.0

    def _find(self) -> SavedState | None:
        with reading(self._states.engine) as session:
            return saved_states.find(session, self._states.training_id, self._part)

    def _read(self, found: SavedState) -> Mapping[str, Any]:
        path = self._states.objects.download(found.object.sha256, self._file)
        try:
            whole = saved_state.read(path)
        finally:
            path.unlink()
        about = whole.get("about")
        if not isinstance(about, dict) or {"seconds", "state"} - whole.keys():
            raise UnfitState("it is no state of a training")
        if different := [name for name, value in self._about.items() if about.get(name) != value]:
            raise UnfitState(f"it is of another {', '.join(different)}")
        return whole

    def _save(self, state: State) -> None:
        states, step, began = self._states, state["diff"]["done"], monotonic()
        seconds = self.seconds_before + monotonic() - self._began
        # The worker's name makes the object its own, which it may remove whatever others have.
        whole = {"about": self._about, "worker": states.worker, "seconds": seconds, "state": state}
        blob: Blob | None = None
        try:
            saved_state.write(whole, self._file)
            blob = states.objects.put(self._file)
            before = saved_states.replace(states.engine, states.training_id, states.worker, self._part, step, blob)
        except JobLost:
            self._remove(blob.sha256 if blob else None)
            raise
        except AWAY as error:
            states.log.warning("the state could not be saved", step=step, error=str(error))
        else:
            self._remove(before)
            took = round(monotonic() - began, 3)
            states.log.info(f"{self._part} is saved at step {step}", bytes=blob.length, seconds=took)
        finally:
            self._file.unlink(missing_ok=True)

    def _remove(self, sha256: str | None) -> None:
        """Remove an object that no row names; if that fails, `diffserver prune` does it."""
        if sha256 is not None:
            with suppress(*AWAY):
                self._states.objects.remove(sha256)

    @property
    def _file(self) -> Path:
        return self._states.folder / "state"


def remove_ended(engine: Engine, objects: Objects) -> None:
    """Remove the states of all trainings that are over, whoever ended them; raises one of AWAY."""
    with reading(engine) as session:
        ended = saved_states.of_ended(session)
    for state in ended:
        objects.remove(state.object.sha256)
        saved_states.forget(engine, state)
