"""The worker: claims trainings from the database, runs the pipeline, records candidates.

It survives the database's errors, and writes again until it succeeds. Heartbeats renew the lease while the pipeline is
busy, and end it once the training is cancelled or another worker's. What surrounds a training is left to `job`.
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
from diffserver.pipeline.job.heartbeat import heartbeats, presence, repeating
from diffserver.pipeline.job.interrupt import Interrupt, interruptible
from diffserver.pipeline.job.job_log import FLUSH_SECONDS, JobLog, Lines
from diffserver.pipeline.job.keeping import AWAY, States, remove_ended
from diffserver.pipeline.job.loss_curve import loss_curve
from diffserver.pipeline.job.work_folder import work_folder
from diffserver.pipeline.run import make_candidate
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

TOLD = ("kind", "domain", "method", "budget", "max_drift", "seed", "device", "checkpoint")
"""What the log says of a request."""

log = make_log()


class Worker:
    """One worker process on one database; its name is its own."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._objects = Objects(settings.objects)
        self._task_files = settings.task_files
        self._find = partial(load_task, files=settings.task_files)
        self._lease_s, self._save_s = settings.lease_seconds, settings.save_seconds
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._lines, self._interrupt = Lines(engine, self.name), Interrupt()

    def run(self, once: bool = False) -> bool:
        """Run trainings for ever, or until none waits; on KeyboardInterrupt the current one is put back.

        Return whether one was interrupted in the middle of its code: then go on in a new process.
        """
        log.info("worker starts", worker=self.name)
        self._log_tasks()
        with (
            work_folder(self.name) as folder,
            presence(self._engine, self.name, self._lease_s),
            repeating("log of trainings", self._lines.flush, FLUSH_SECONDS),
        ):
            try:
                return self._take(folder, once)
            except KeyboardInterrupt:
                self._put_back()
                raise

    def _take(self, folder: Path, once: bool) -> bool:
        """Take one training after another; return whether one was interrupted."""
        while True:
            training = patient(training_queue.claim)(self._engine, self.name, self._lease_s)
            if training is not None:
                self._work(training, folder)
            self._tidy()
            if self._interrupt.fired:
                return True
            if training is None and once:
                return False
            if training is None:
                time.sleep(IDLE_SECONDS)

    def _log_tasks(self) -> None:
        """Log the tasks of the worker's files; a broken file does not affect other tasks."""
        for file in self._task_files:
            try:
                log.info("task found", task=open_task(file).name, file=file)
            except TaskError as error:
                log.warning("task file cannot be used", file=file, error=str(error))

    def _work(self, training: Training, folder: Path) -> None:
        """Run one claimed training to its candidate, or record why there is none."""
        job = JobLog(log.bind(training=training.id, model=training.model), self._lines, training.id)
        job.info("training starts", **{name: training.spec[name] for name in TOLD if name in training.spec})
        try:
            new = self._train(training, folder, job)
            job.info("training done", candidate=self._record(training.id, new), refusals=list(new.refusals))
        except (Cancelled, JobLost):
            job.info("training cancelled, or taken over")
        except EXPECTED as error:
            job.warning("training failed", error=str(error))
            self._fail(training.id, str(error))
        except Exception as error:
            job.exception("training failed unexpectedly")
            self._fail(training.id, f"{type(error).__name__}: {error}")

    def _train(self, training: Training, folder: Path, job: JobLog) -> NewCandidate:
        spec = training_queue.spec_of(training)
        with (
            tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as name,
            interruptible() as self._interrupt,
            heartbeats(self._engine, self.name, training.id, self._lease_s, self._interrupt) as pulse,
            loss_curve(self._engine, self.name, training.id) as curve,
        ):
            files = Path(name)
            states = States(self._engine, self._objects, job, training.id, self.name, self._save_s, files)

            def on_progress(progress: float, message: str) -> bool:
                job.progress(message)
                curve.note(message)
                return pulse.note(progress, message)

            return make_candidate(spec, self._engine, self._objects, files, on_progress, self._find, states)

    @patient
    def _record(self, training_id: int, new: NewCandidate) -> int:
        """Record the candidate and that the training is done; raises JobLost."""
        with writing(self._engine) as session:
            candidate = versions.record_candidate(session, new)
            training_queue.finish(session, training_id, self.name, candidate.id)
            return candidate.id

    def _fail(self, training_id: int, error: str) -> None:
        patient(training_queue.fail)(self._engine, training_id, self.name, error)

    def _tidy(self) -> None:
        """Write the lines that wait, and remove the states of trainings that are over; what fails is done later."""
        try:
            self._lines.flush()
            remove_ended(self._engine, self._objects)
        except AWAY as error:
            log.warning("the worker could not tidy up", error=str(error))

    def _put_back(self) -> None:
        """Release the training, without a retry on the way out: if that fails, it is taken up when its lease ends."""
        try:
            for training_id in training_queue.release(self._engine, self.name):
                self._lines.add(training_id, "info", "the worker stops, and puts the training back")
            self._lines.flush()
        except SQLAlchemyError as error:
            log.warning("the training could not be put back", error=str(error))
