"""The worker: claims trainings from the database, runs the pipeline, records candidates.

A thread keeps the lease alive while the pipeline is busy; the pipeline hears of a cancellation at its next step.
"""

import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from diffclient.errors import DiffClientError
from diffserver.catalog import training_queue, versions
from diffserver.errors import DiffServerError, JobLost
from diffserver.logs import make_log
from diffserver.methods.method import MethodError
from diffserver.pipeline import run as pipeline
from diffserver.settings import Settings
from diffserver.storage.database import writing
from diffserver.storage.object_store import Objects
from diffserver.storage.tables import Training
from diffserver.tasks import TaskError, load_task, open_task
from diffserver.training.progress import Cancelled

LEASE_SECONDS = 60.0
HEARTBEAT_SECONDS = 1.0
IDLE_SECONDS = 1.0

EXPECTED = (DiffServerError, DiffClientError, TaskError, MethodError)
"""Failures that are the request's, and told to who made it."""

log = make_log()


@dataclass
class Pulse:
    """What the pipeline last said of its progress, and whether it should go on."""

    progress: float = 0.0
    message: str = ""
    wanted: bool = True
    stopped: threading.Event = field(default_factory=threading.Event)

    def note(self, progress: float, message: str) -> bool:
        """Take note of progress; returns False once the training is to end."""
        self.progress, self.message = progress, message
        return self.wanted


class Worker:
    """One worker process on one database; its name is its own."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._objects = Objects(settings.objects)
        self._task_files = settings.task_files
        self._find = partial(load_task, files=settings.task_files)
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

    def run(self, once: bool = False) -> None:
        """Work on trainings for ever, or until none waits; on KeyboardInterrupt the one at hand is put back."""
        log.info("worker starts", worker=self.name)
        self._look_at_tasks()
        while True:
            training = training_queue.claim(self._engine, self.name, LEASE_SECONDS)
            if training is not None:
                self.work(training)
            elif once:
                return
            else:
                time.sleep(IDLE_SECONDS)

    def _look_at_tasks(self) -> None:
        """Tell of the tasks that it was started with; a broken one is in no one's way but its own."""
        for file in self._task_files:
            try:
                log.info("task found", task=open_task(file).name, file=file)
            except TaskError as error:
                log.warning("task file cannot be used", file=file, error=str(error))

    def work(self, training: Training) -> None:
        """Run one claimed training to its candidate, or record why there is none."""
        bound = log.bind(training=training.id, model=training.model)
        bound.info("training starts", spec=training.spec)
        try:
            with self._heartbeat(training.id) as pulse, tempfile.TemporaryDirectory() as folder:
                new = pipeline.run(
                    training_queue.spec_of(training), self._engine, self._objects, Path(folder), pulse.note, self._find
                )
            with writing(self._engine) as session:
                candidate = versions.record_candidate(session, new)
                training_queue.finish(session, training.id, self.name, candidate.id)
            bound.info("training done", candidate=candidate.id, refusals=list(new.refusals))
        except (Cancelled, JobLost):
            bound.info("training cancelled")
        except KeyboardInterrupt:
            training_queue.release(self._engine, training.id, self.name)
            raise
        except EXPECTED as error:
            bound.warning("training failed", error=str(error))
            training_queue.fail(self._engine, training.id, self.name, str(error))
        except Exception as error:
            bound.exception("training failed unexpectedly")
            training_queue.fail(self._engine, training.id, self.name, f"{type(error).__name__}: {error}")

    @contextmanager
    def _heartbeat(self, training_id: int) -> Iterator[Pulse]:
        """Renew the lease and pass progress on, until the block ends."""
        pulse = Pulse()

        def beat() -> None:
            while not pulse.stopped.wait(HEARTBEAT_SECONDS):
                try:
                    alive = training_queue.heartbeat(
                        self._engine, training_id, self.name, pulse.progress, pulse.message
                    )
                    pulse.wanted = pulse.wanted and alive
                except SQLAlchemyError as error:  # the database may come back before the lease ends
                    log.warning("heartbeat failed", training=training_id, error=str(error))

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield pulse
        finally:
            pulse.stopped.set()
            thread.join()
