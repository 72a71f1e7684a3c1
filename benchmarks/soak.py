"""Soak: devices that poll while worker, database and server are killed in turn, beside half-open connections.

The server and its worker are processes, PostgreSQL has a cluster of its own, and each device is the client's updater in
a thread. A base and an update are published on the way, and trainings are submitted all along. Server, devices and
connections are left to `soaked_product`, `fleet_of_threads` and `half_open`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError

from benchmarks import machine
from benchmarks.fleet_of_threads import PollingFleet
from benchmarks.half_open import HalfOpen
from benchmarks.soaked_product import MODEL, CommandFailed, Kills, Product, Sample, Trainings
from tests.hostile.postgres_cluster import cluster
from tests.hostile.with_workers import ROOT, Home

SCORE = ROOT / "examples" / "gestures" / "gesture_device.py"
POLL_SECONDS = 10
STEP = 10
"""Seconds between samples."""

BARS = {"longest_gap_s": 30.0, "rss_growth_mb": 50.0, "files_growth": 50, "threads_growth": 20}


def growth(samples: Sequence[Sample], name: str) -> float:
    """Return how much more is used, in the median, in the last quarter of samples than in the second."""
    quarter = len(samples) // 4
    parts = samples[quarter : 2 * quarter], samples[3 * quarter :]
    before, after = (statistics.median(asdict(sample)[name] for sample in part) for part in parts)
    return round(float(after - before), 1)


@contextmanager
def every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Do something again and again, in a thread, for as long as the block lasts."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(seconds):
            act()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def prepare(product: Product) -> None:
    """Train a base and an update, and publish the base."""
    train = ("--data", str(product.home.data), "--epochs", "2")
    product.command("base", MODEL, "--task", MODEL, "--domain", "0-base", *train)
    product.command("publish", "1")
    product.command("train", MODEL, "--domain", "1-wave", *train, "--max-regression", "100")


def watch(product: Product, fleet: PollingFleet, seconds: int) -> tuple[list[Sample], dict[str, int]]:
    """Wait so long, publish the update after a third of it; return samples, and the rows of all tables at half."""
    samples: list[Sample] = []
    rows: dict[str, int] = {}
    began = time.monotonic()
    acts: dict[int, Callable[[], Any]] = {
        seconds // 3: lambda: product.command("publish", "2", "--force"),
        seconds // 2: lambda: rows.update(product.rows()),
    }
    for moment in range(STEP, seconds + 1, STEP):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        taken = product.sample()
        samples += [taken] if taken else []
        for due in [due for due in acts if due <= moment]:
            with contextlib.suppress(OperationalError, CommandFailed):  # it is tried again at the next moment
                acts[due]()
                del acts[due]
        sys.stderr.write(f"\r{moment} of {seconds} s, {fleet.polls:,} polls")
    return samples, rows


def soak(product: Product, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Let devices poll while everything is killed in turn; return the figures."""
    fleet = PollingFleet(folder, product.home.url, product.home.folder, MODEL, SCORE, options.devices)
    fleet.enroll()
    trainings, kills, log_before = Trainings(product.home), Kills(product), product.home.log.stat().st_size
    with ExitStack() as stack:
        half_open = stack.enter_context(HalfOpen(product.home.port, options.half_open).held())
        stack.enter_context(fleet.polling())
        stack.enter_context(every(options.training_every, trainings.submit))
        stack.enter_context(every(options.kill_every, kills.kill))
        samples, rows_at_half = watch(product, fleet, options.seconds)
    trainings.wait()
    return {
        "devices": options.devices,
        "seconds": options.seconds,
        "polls": fleet.polls,
        "polls_failed": fleet.failures,
        "longest_gap_s": round(fleet.longest_gap, 1),
        "devices_at_version_1": fleet.at_version(1),
        "trainings_submitted": len(trainings.ids),
        "trainings_ended": trainings.ended(),
        "rss_growth_mb": growth(samples, "rss_mb"),
        "files_growth": growth(samples, "files"),
        "threads_growth": growth(samples, "threads"),
        "log_mb": round((product.home.log.stat().st_size - log_before) / 1e6, 2),
        "half_open": half_open.opened,
        "killed": dict(kills.counts),
        "rows_at_half": rows_at_half,
        "rows_after": product.rows(),
        "samples": [asdict(taken) for taken in samples],
        "machine": machine.describe(),
    }


def missed(figures: dict[str, Any]) -> list[str]:
    """Return the bars that are missed, in words."""
    over = [f"{name} is {figures[name]}, and the bar is {bar}" for name, bar in BARS.items() if figures[name] > bar]
    if figures["trainings_ended"] != figures["trainings_submitted"]:
        over.append(f"{figures['trainings_submitted']} trainings, of which {figures['trainings_ended']} ended")
    return over


def main() -> None:
    """Soak, print, and exit with status 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--half-open", type=int, default=1000, help="connections that never send a whole request")
    parser.add_argument("--kill-every", type=float, default=40.0, help="seconds between kills")
    parser.add_argument("--training-every", type=float, default=30.0, help="seconds between trainings")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    options = parser.parse_args()
    random.seed(0)
    with cluster() as database, tempfile.TemporaryDirectory() as folder:
        environment = {"DIFFSERVER_DATABASE": database.url, "DIFFSERVER_POLL_SECONDS": str(POLL_SECONDS)}
        product = Product(Home(Path(folder) / "home", environment | {"DIFFSERVER_LEASE_SECONDS": "10"}), database)
        product.start()
        try:
            prepare(product)
            figures = soak(product, Path(folder) / "devices", options)
        finally:
            product.stop()
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    print("\n" + "\n".join(f"{name}: {value}" for name, value in figures.items() if name not in ("samples", "machine")))
    sys.exit("; ".join(missed(figures)) or 0)


if __name__ == "__main__":
    main()
