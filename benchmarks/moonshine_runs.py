"""What Moonshine is taught by `benchmarks.moonshine`, run by run, and the file of their figures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks import machine

DATA = {
    "sentences": (["sentences/test"], ["sentences/dev"]),
    "wake-words": (["chain/*-*/train"], ["chain/*-*/test"]),
}
"""Manifests that are learned, and those that are measured; other speakers, or recordings, in both."""

TASKS = {"fp32": "moonshine.py", "int8": "moonshine_int8.py"}

RATE, AMPLE_RATE, INT8_RATE = 1e-4, 3e-4, 1e-3
"""The highest learning rates: the second of sparse diffs of 1 % or more, the third in int8, of all else the first.
Lower ones teach too little there, as whole steps of int8 are far apart; higher ones spoil what is learned elsewhere."""

BUDGETS = (0.02, 0.01, 0.005)


@dataclass(frozen=True)
class Job:
    """What one run trains."""

    data: str
    dtype: str
    method: str
    budget: float | None
    """Of the bytes of the model's file. None where nothing is to be sent: full retraining."""

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        if self.dtype == "int8":
            return INT8_RATE
        return AMPLE_RATE if self.method == "sparse" and (self.budget or 0) >= 0.01 else RATE


@dataclass(frozen=True)
class Run:
    """One run's figures; error rates are shares of words."""

    data: str
    dtype: str
    method: str
    budget: float | None
    payload_bytes: int | None
    payload_share: float | None
    """Of the bytes of the model's file, which int8 makes smaller."""
    wer_before: float
    wer_full: float | None
    wer_diff: float
    wer_forgetting_before: float
    wer_forgetting_after: float
    wer_unlike_before: float
    """Words of clean speech that are heard in another way than by the model before."""
    learning_rate: float
    device: str
    """Where it was trained; what it learned is always measured on the processor."""
    seconds: float
    """Of training, up to the weights that devices get."""
    peak_mb: float
    """Of the process, or of its tensors on a GPU."""

    @property
    def job(self) -> Job:
        """What was trained."""
        return Job(self.data, self.dtype, self.method, self.budget)


def jobs() -> Iterator[Job]:
    """Yield all runs, those that say most first."""
    for data in DATA:
        yield Job(data, "fp32", "full", None)
        for dtype in TASKS:
            for method in ("sparse", "hashed"):
                yield from (Job(data, dtype, method, budget) for budget in BUDGETS)


@dataclass(frozen=True)
class Figures:
    """A file of results: the runs, and the machines that did them, by the device."""

    machines: dict[str, dict[str, str | int | float]]
    runs: tuple[Run, ...]

    @staticmethod
    def read(path: Path) -> Figures:
        """Return what a file holds, nothing if it is not there."""
        fields = json.loads(path.read_text()) if path.exists() else {"machines": {}, "runs": []}
        return Figures(fields["machines"], tuple(Run(**row) for row in fields["runs"]))

    def missing(self) -> list[Job]:
        """Return the runs that are still to be done."""
        done = {run.job for run in self.runs}
        return [job for job in jobs() if job not in done]

    def like(self, job: Job) -> Run | None:
        """Return a run whose start was measured on the same words, in the same form."""
        return next((run for run in self.runs if (run.data, run.dtype) == (job.data, job.dtype)), None)

    def with_run(self, run: Run) -> Figures:
        """Return these and one more, each with the fully retrained model's error rate."""
        runs = (*self.runs, run)
        full = {one.data: one.wer_diff for one in runs if one.method == "full"}
        new = {} if run.device in self.machines else {run.device: machine.describe(run.device)}
        return Figures({**self.machines, **new}, tuple(replace(one, wer_full=full.get(one.data)) for one in runs))

    def write(self, path: Path) -> None:
        """Write the file at once, so that who reads it meanwhile finds all of it."""
        beside = path.with_suffix(".partial")
        beside.write_text(json.dumps(asdict(self), indent=1) + "\n")
        beside.replace(path)
