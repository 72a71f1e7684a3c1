"""The worker: claims trainings from the database, runs the pipeline, records candidates.

It survives the database's errors, and writes again until it succeeds. Heartbeats renew the lease while the pipeline is
busy; the pipeline notices a cancellation at its next step.
"""

import os
import secrets
import socket
import tempfile
import time
from functools import partial
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from diffclient.errors import DiffClientError
from diffserver.catalog import training_queue, versions
from diffserver.catalog.candidate import NewCandidate
from diffserver.errors import DiffServerError, JobLost
from diffserver.logs import make_log
from diffserver.methods.method import MethodError
from diffserver.pipeline.heartbeat import heartbeats, presence
from diffserver.pipeline.run import make_candidate
from diffserver.pipeline.work_folder import work_folder
from diffserver.settings import Settings
from diffserver.storage.database import writing
from diffserver.storage.object_store import Objects
from diffserver.storage.patience import patient
from diffserver.storage.tables import Training
from diffserver.tasks import TaskError, load_task, open_task
from diffserver.training.progress import Cancelled

IDLE_SECONDS = 1.0

EXPECTED = (DiffServerError, DiffClientError, TaskError, MethodError)
"""Failures for which the request is to blame, whose messages its author reads."""

log = make_log()


class Worker:
    """One worker process on one database; its name is its own."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._objects = Objects(settings.objects)
        self._task_files = settings.task_files
        self._find = partial(load_task, files=settings.task_files)
        self._lease_s = settings.lease_seconds
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

    def run(self, once: bool = False) -> None:
        """Run trainings for ever, or until none waits; on KeyboardInterrupt the current one is put back."""
        log.info("worker starts", worker=self.name)
        self._log_tasks()
        with work_folder(self.name) as folder, presence(self._engine, self.name, self._lease_s):
            try:
                while True:
                    training = patient(training_queue.claim)(self._engine, self.name, self._lease_s)
                    if training is not None:
                        self._work(training, folder)
                    elif once:
                        return
                    else:
                        time.sleep(IDLE_SECONDS)
            except KeyboardInterrupt:
                self._put_back()
                raise

    def _log_tasks(self) -> None:
        """Log the tasks of the worker's files; a broken file does not affect other tasks."""
        for file in self._task_files:
            try:
                log.info("task found", task=open_task(file).name, file=file)
            except TaskError as error:
                log.warning("task file cannot be used", file=file, error=str(error))

    def _work(self, training: Training, folder: Path) -> None:
        """Run one claimed training to its candidate, or record why there is none."""
        bound = log.bind(training=training.id, model=training.model)
        bound.info("training starts", spec=training.spec)
        try:
            new = self._train(training, folder)
            bound.info("training done", candidate=self._record(training.id, new), refusals=list(new.refusals))
        except (Cancelled, JobLost):
            bound.info("training cancelled, or taken over")
        except EXPECTED as error:
            bound.warning("training failed", error=str(error))
            self._fail(training.id, str(error))
        except Exception as error:
            bound.exception("training failed unexpectedly")
            self._fail(training.id, f"{type(error).__name__}: {error}")

    def _train(self, training: Training, folder: Path) -> NewCandidate:
        spec = training_queue.spec_of(training)
        with (
            heartbeats(self._engine, self.name, training.id, self._lease_s) as pulse,
            tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as files,
        ):
            return make_candidate(spec, self._engine, self._objects, Path(files), pulse.note, self._find)

    @patient
    def _record(self, training_id: int, new: NewCandidate) -> int:
        """Record the candidate and that the training is done; raises JobLost."""
        with writing(self._engine) as session:
            candidate = versions.record_candidate(session, new)
            training_queue.finish(session, training_id, self.name, candidate.id)
            return candidate.id

    def _fail(self, training_id: int, error: str) -> None:
        patient(training_queue.fail)(self._engine, training_id, self.name, error)

    def _put_back(self) -> None:
        """Release the training, without a retry on the way out: if that fails, it is taken up when its lease ends."""
        try:
            training_queue.release(self._engine, self.name)
        except SQLAlchemyError as error:
            log.warning("the training could not be put back", error=str(error))
