"""Teach Moonshine Tiny, a recogniser of 27 million weights, further voices and words: fully, and by diffs.

Every run is a process of its own, whose figures are written as it ends; a run that is found in the file is not done
again: `python -m benchmarks.moonshine --model FOLDER --speech FOLDER --clean FOLDER --json FILE`. Training is this
package's own, measuring the device's, with `examples/moonshine` as the task. A run takes five to ten minutes on one
core.
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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks.loop import Version
from benchmarks.moonshine_runs import DATA, TASKS, Figures, Job, Run
from diffclient.measure.error_count import Errors
from diffclient.tensors.snapshot import Snapshot, fp32_bytes
from diffserver.diffs import snapshot
from diffserver.methods.definition import load_definition
from diffserver.methods.recipe import Recipe
from diffserver.tasks import Example, open_task
from diffserver.training.batches import Lesson
from diffserver.training.make_version import make_version

EXAMPLE = Path(__file__).parents[1] / "examples" / "moonshine"

STEPS, BATCH, REPLAY = 120, 10, 0.2
"""Ten utterances a step, two of which are clean speech, so that it is not forgotten."""

DIGITS = "0-digits"
"""Not among the wake words: read on their own, and half a second long."""


@dataclass(frozen=True)
class Place:
    """The folders that a run reads: a model, recordings to learn, and clean speech not to forget."""

    dtype: str
    model: Path
    speech: Path
    clean: Path
    work: Path
    """Where the graph and version 0 stand, which all runs share."""

    @staticmethod
    def of(options: argparse.Namespace, dtype: str) -> Place:
        """Return the folders that the command line names."""
        return Place(dtype, options.model, options.speech, options.clean, options.work)

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


def run(job: Job, place: Place, before: Run | None, device: str) -> Run:
    """Train on a device, and measure; what does not depend on training is taken from an earlier run."""
    task, base = place.task, place.base
    whole = base.snapshot.path.stat().st_size
    learned, measured = (place.examples(patterns) for patterns in DATA[job.data])
    clean, unlike, replayed = (task.examples(place.clean, split) for split in ("test", "unlike", "train"))
    definition = replace(load_definition(job.method), recipe=Recipe(STEPS, job.rate, batch=BATCH, replay=REPLAY))
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        made = make_version(
            task, definition, Lesson(learned, [replayed]), Path(folder) / "made", seed=0, parent=base,
            budget=job.budget * whole / fp32_bytes(base.snapshot.table) if job.budget else 1.0, device=device,
            on_progress=_say,
        )  # fmt: skip
        seconds, version = time.perf_counter() - began, Snapshot(made.weights)
        peak = _peak_mb(device)
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
            device=device,
            seconds=round(seconds, 1),
            peak_mb=peak,
        )


def _say(_: float, message: str) -> bool:
    print(message, file=sys.stderr, flush=True)
    return True


def _peak_mb(device: str) -> int:
    """Return the peak memory, and leave a GPU to those who train meanwhile."""
    if device != "cpu":
        torch.cuda.empty_cache()
        return torch.cuda.max_memory_allocated() // 2**20
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) // 1024


def run_all(options: argparse.Namespace) -> None:
    """Do what is missing, some runs at once; each is written as it ends, by this process alone."""
    missing, failed = Figures.read(options.json).missing(), []
    for dtype in {job.dtype for job in missing}:
        _ = Place.of(options, dtype).base  # before processes that share it begin
    with ThreadPoolExecutor(options.jobs) as pool:
        waiting = {pool.submit(_by_itself, job): job for job in missing}
        for ended in as_completed(waiting):
            if ended.exception():
                failed.append(waiting[ended])
                continue
            print(ended.result(), flush=True)
            Figures.read(options.json).with_run(ended.result()).write(options.json)
    sys.exit(f"failed: {failed}" if failed else 0)


def _by_itself(job: Job) -> Run:
    """Do a run in a process of its own; raises CalledProcessError."""
    command = [sys.executable, "-m", "benchmarks.moonshine", *sys.argv[1:], "--job", json.dumps(asdict(job))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Run(**json.loads(done.stdout))


def main() -> None:
    """Do what is missing, or the one run that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Moonshine's Hugging Face folder.")
    parser.add_argument("--speech", type=Path, required=True, help="The folder of `sentences` and `chain`.")
    parser.add_argument("--clean", type=Path, required=True, help="Clean speech: train, test and unlike.jsonl.")
    parser.add_argument("--work", type=Path, default=Path("build/moonshine"), help="Where version 0 is kept.")
    parser.add_argument("--device", default="cpu", help="Where to train: cpu, or cuda.")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="The runs at once, on a core each.")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="The figures.")
    parser.add_argument("--job", type=lambda text: Job(**json.loads(text)), help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if not options.job:
        run_all(options)
        return
    torch.set_num_threads(1)
    place, before = Place.of(options, options.job.dtype), Figures.read(options.json).like(options.job)
    print(json.dumps(asdict(run(options.job, place, before, options.device))))


if __name__ == "__main__":
    main()
