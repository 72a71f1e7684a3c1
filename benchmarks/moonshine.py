"""Teach Moonshine Tiny, a recogniser of 27 million weights, further voices and words: fully, and by diffs.

Every run is a process of its own, whose figures are written at once; a run that is found in the file is not done again:
`python -m benchmarks.moonshine --model FOLDER --speech FOLDER --clean FOLDER --json FILE`. Training is this package's
own, measuring the device's, with `examples/moonshine` as the task. A run takes five to ten minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine
from benchmarks.loop import Version
from diffclient.measure.error_count import Errors
from diffclient.tensors.snapshot import Snapshot, fp32_bytes
from diffserver.diffs import snapshot
from diffserver.methods.definition import load_definition
from diffserver.methods.recipe import Recipe
from diffserver.tasks import Example, open_task
from diffserver.training.loop import Lesson
from diffserver.training.make_version import make_version

EXAMPLE = Path(__file__).parents[1] / "examples" / "moonshine"
TASKS = {"fp32": "moonshine.py", "int8": "moonshine_int8.py"}

STEPS, BATCH, REPLAY = 120, 10, 0.2
"""Ten utterances a step, two of which are clean speech, so that it is not forgotten."""

RATE = 1e-4
SPARSE_RATES = {"fp32": 3e-4, "int8": 1e-3}
"""The highest learning rates: those of sparse diffs of 1 % or more, and in int8; all else has the first. Lower ones
teach too little there, higher ones spoil what is learned elsewhere."""

BUDGETS = (0.02, 0.01, 0.005)

DATA = {
    "sentences": (["sentences/test"], ["sentences/dev"]),
    "wake-words": (["chain/*-*/train"], ["chain/*-*/test"]),
}
"""Manifests that are learned, and those that are measured; other speakers, or recordings, in both."""

DIGITS = "0-digits"
"""Not among the wake words: read on their own, and half a second long."""


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
        ample = self.dtype == "int8" or (self.budget or 0) >= 0.01
        return SPARSE_RATES[self.dtype] if self.method == "sparse" and ample else RATE


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
    seconds: float
    """Of training, up to the weights that devices get."""
    peak_mb: float

    @property
    def job(self) -> Job:
        """What was trained."""
        return Job(self.data, self.dtype, self.method, self.budget)


@dataclass(frozen=True)
class Place:
    """The folders that a run reads: a model, recordings to learn, and clean speech not to forget."""

    dtype: str
    model: Path
    speech: Path
    clean: Path
    work: Path
    """Where the graph and version 0 stand, which all runs share."""

    @cached_property
    def task(self) -> Any:
        """Moonshine, of this model's sizes."""
        os.environ["MOONSHINE"] = str(self.model)
        return open_task(str(EXAMPLE / TASKS[self.dtype]))

    @property
    def graph(self) -> Path:
        """The graph for devices."""
        return self.work / f"{self.dtype}.onnx"

    @cached_property
    def base(self) -> Version:
        """Version 0."""
        path = self.work / f"{self.dtype}.safetensors"
        if not path.exists():
            network = self.task.loaded()
            self.graph.write_bytes(self.task.graph(network))
            snapshot(network, path)
        return Version(Snapshot(path), Snapshot(path).digest())

    def examples(self, patterns: Sequence[str]) -> list[Example]:
        """Return the utterances of some manifests, short ones first."""
        paths = [path for pattern in patterns for path in sorted(self.speech.glob(f"{pattern}.jsonl"))]
        chosen = [path for path in paths if path.parent.name != DIGITS]
        found = [example for path in chosen for example in self.task.examples(path.parent, path.stem)]
        return sorted(found, key=self.task.size)

    def error_rate(self, version: Snapshot, examples: Sequence[Example]) -> float:
        """Return the share of words that the device's code gets wrong."""
        session = self.task.session(self.graph.read_bytes(), version)
        errors: Errors = self.task.measure(session, examples)
        return round(errors.error_rate_ppm / 1e6, 4)


def run(job: Job, place: Place, before: Run | None) -> Run:
    """Train and measure; what does not depend on training is taken from an earlier run."""
    task, base = place.task, place.base
    whole = base.snapshot.path.stat().st_size
    learned, measured = (place.examples(patterns) for patterns in DATA[job.data])
    clean, unlike, replayed = (task.examples(place.clean, split) for split in ("test", "unlike", "train"))
    definition = replace(load_definition(job.method), recipe=Recipe(STEPS, job.rate, batch=BATCH, replay=REPLAY))
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        made = make_version(
            task, definition, Lesson(learned, [replayed]), Path(folder) / "made", seed=0, parent=base,
            budget=job.budget * whole / fp32_bytes(base.snapshot.table) if job.budget else 1.0, device="cpu",
            on_progress=_say,
        )  # fmt: skip
        seconds, version = time.perf_counter() - began, Snapshot(made.weights)
        peak = _peak_mb()
        size = None if made.payload is None else len(made.payload)
        return Run(
            **asdict(job),
            payload_bytes=size,
            payload_share=size and round(size / whole, 5),
            wer_before=before.wer_before if before else place.error_rate(base.snapshot, measured),
            wer_full=None,
            wer_diff=place.error_rate(version, measured),
            wer_forgetting_before=before.wer_forgetting_before if before else place.error_rate(base.snapshot, clean),
            wer_forgetting_after=place.error_rate(version, clean),
            wer_unlike_before=place.error_rate(version, unlike),
            learning_rate=job.rate,
            seconds=round(seconds, 1),
            peak_mb=peak,
        )


def _say(_: float, message: str) -> bool:
    print(message, file=sys.stderr, flush=True)
    return True


def _peak_mb() -> float:
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) // 1024


def jobs() -> Iterator[Job]:
    """Yield all runs, those that say most first."""
    for data in DATA:
        yield Job(data, "fp32", "full", None)
        for dtype in TASKS:
            for method in ("sparse", "hashed"):
                yield from (Job(data, dtype, method, budget) for budget in BUDGETS)


def found(path: Path) -> list[Run]:
    """Return the runs that are in a file of results."""
    return [Run(**row) for row in json.loads(path.read_text())["runs"]] if path.exists() else []


def write(path: Path, runs: Sequence[Run]) -> None:
    """Write all runs, each with the fully retrained model's error rate."""
    full = {one.data: one.wer_diff for one in runs if one.method == "full"}
    rows = [asdict(replace(one, wer_full=full.get(one.data))) for one in runs]
    path.write_text(json.dumps({"machine": machine.describe(), "runs": rows}, indent=1) + "\n")


def main() -> None:
    """Do what is missing, one run after the other, or the one run that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Moonshine's Hugging Face folder.")
    parser.add_argument("--speech", type=Path, required=True, help="The folder of `sentences` and `chain`.")
    parser.add_argument("--clean", type=Path, required=True, help="Clean speech: train, test and unlike.jsonl.")
    parser.add_argument("--work", type=Path, default=Path("build/moonshine"), help="Where version 0 is kept.")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="The figures.")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.job:
        torch.set_num_threads(1)
        job = Job(**json.loads(options.job))
        place = Place(job.dtype, options.model, options.speech, options.clean, options.work)
        before = next((one for one in found(options.json) if (one.data, one.dtype) == (job.data, job.dtype)), None)
        done = run(job, place, before)
        write(options.json, [*found(options.json), done])
        print(done)
        return
    for job in jobs():
        if job not in [one.job for one in found(options.json)]:
            command = [sys.executable, "-m", "benchmarks.moonshine", *sys.argv[1:], "--job", json.dumps(asdict(job))]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
