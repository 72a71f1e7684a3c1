"""Outages: servers, worker, database and object store are killed in turn while devices update; what came of it.

PostgreSQL, two servers behind nginx, a worker and S3 are processes; each device is the client's updater in a thread,
with a store of its own. Versions are trained and published one after another all along.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.outages import afterwards
from benchmarks.outages.devices import WatchedFleet
from benchmarks.outages.kills import Kills
from benchmarks.outages.looks import Looks
from benchmarks.outages.operator import Operator
from benchmarks.outages.releases import Releases, deal
from benchmarks.outages.topology import MODEL, StoredElsewhere, running
from benchmarks.soak import every
from diffserver.settings import Settings
from diffserver.storage.database import connect
from tests.hostile.with_workers import ROOT

SCORE = ROOT / "examples" / "gestures" / "gesture_device.py"

RECOVER_SECONDS, TRAINED_SECONDS = 60.0, 180.0
"""How long devices have to come to the last version by themselves when all is back, and trainings to end."""

PROMISES = {
    "wrong_answers": "wrong answers, to devices and operators",
    "reports_lost": "reports that were acknowledged, and are not there exactly once",
    "half_published": "versions that are not whole, or were acknowledged and are not there",
    "devices_behind": "devices that did not come to the last version by themselves",
    "trainings_stuck": "trainings that neither ended nor go on",
    "not_back": "processes that ended by themselves, or did not come back",
}
"""The bar of each is none."""


@contextmanager
def meanwhile(act: Callable[[threading.Event], None]) -> Iterator[None]:
    """Do something in a thread, which is told when the block ends and waited for."""
    ends = threading.Event()
    thread = threading.Thread(target=act, args=(ends,))
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def wait_for_none(found: Callable[[], list[Any]], seconds: float) -> tuple[list[Any], float]:
    """Wait until nothing is found any more, or so long; return what still is, and the seconds that it took."""
    began = time.monotonic()
    while (left := found()) and time.monotonic() - began < seconds:
        time.sleep(0.5)
    return left, round(time.monotonic() - began, 1)


def measure(topology: StoredElsewhere, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Let devices update while everything is killed in turn; return the figures."""
    token = topology.token_file.read_text().strip()
    operator = Operator(topology.url, token)
    releases = Releases(operator, deal(folder))
    releases.release()
    kills = Kills(topology, releases.publishing)
    fleet = WatchedFleet(
        folder / "devices", topology.url, topology.home, SCORE, MODEL, releases.history, options.devices
    )
    fleet.enroll()
    watcher, servers = Operator(topology.url, token), [Operator(f"http://{at}", token) for at in topology.addresses]
    looks = Looks(watcher, servers, releases.history)
    with fleet.polling():
        with ExitStack() as stack:
            stack.enter_context(meanwhile(releases.run))
            stack.enter_context(every(1.0, looks.look))
            stack.enter_context(every(options.pause, kills.kill))
            for second in range(options.seconds):
                time.sleep(1)
                sys.stderr.write(f"\r{second} of {options.seconds} s, {fleet.polls:,} polls")
        behind, recovered_s = wait_for_none(fleet.lagging, RECOVER_SECONDS)
        time.sleep(2 * topology.poll_seconds)  # for the reports of that
    engine = connect(Settings.from_environment(topology.environment).database)
    states: Callable[[], dict[int, str]] = lambda: afterwards.training_states(engine)  # noqa: E731
    stuck, _ = wait_for_none(
        lambda: [one for one in states().items() if one[1] in ("queued", "running")], TRAINED_SECONDS
    )
    found = {
        "wrong_answers": [*releases.faults, *looks.faults, *fleet.faults],
        "reports_lost": afterwards.not_once(afterwards.reports(engine), fleet.acknowledged),
        "half_published": afterwards.half_published(topology, engine, releases.history.acknowledged, folder / "new"),
        "devices_behind": behind,
        "trainings_stuck": [*stuck, *(set(releases.accepted) - set(states()))],
        "not_back": kills.faults,
    }
    operators = (operator, watcher, *servers)
    figures = {
        **{name: len(faults) for name, faults in found.items()},
        "faults": {name: faults[:20] for name, faults in found.items() if faults},
        "seconds": options.seconds,
        "devices": options.devices,
        "killed": dict(kills.counts),
        "polls": fleet.polls,
        "polls_failed": fleet.failures,
        "devices_requests_unanswered": fleet.unanswered,
        "longest_gap_s": round(fleet.longest_gap, 1),
        "recovered_s": recovered_s,
        "updates_installed": fleet.outcomes["installed"],
        "reports_acknowledged": sum(map(len, fleet.acknowledged.values())),
        "reports_waiting": fleet.waiting_reports,
        "versions_published": len(releases.history.acknowledged),
        "publish_median_s": round(releases.history.median_seconds, 2),
        "publishes_failed_and_tried_again": releases.publishes_failed,
        "candidates_refused": releases.refused_candidates,
        "trainings_accepted": len(releases.accepted),
        "trainings_taken_up_again": _starts(topology) - len(states()),
        "trainings_failed": releases.trainings_failed,
        "operators_requests": sum(one.requests for one in operators),
        "operators_requests_failed": sum(one.failures for one in operators),
        "blobs_compared": looks.blobs,
        "machine": machine.describe(),
    }
    engine.dispose()
    return figures


def _starts(topology: StoredElsewhere) -> int:
    """Return how often a worker has begun a training."""
    return sum(worker.log.read_text().count('"event": "training starts"') for worker in topology.workers)


def show(figures: dict[str, Any]) -> str:
    """Return the promises and the counts as a table."""
    killed = {f"killed: {name}": times for name, times in figures["killed"].items()}
    counts = {name.replace("_", " "): value for name, value in figures.items() if isinstance(value, int | float)}
    promised = {
        what: f"{figures[name]}  {'holds' if not figures[name] else 'MISSED'}" for name, what in PROMISES.items()
    }
    others = {name: value for name, value in counts.items() if name.replace(" ", "_") not in PROMISES}
    return "\n".join(f"{name:72} {value}" for name, value in (promised | killed | others).items())


def main() -> None:
    """Measure, print, and exit with status 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--devices", type=int, default=60)
    parser.add_argument("--seconds", type=int, default=480)
    parser.add_argument("--pause", type=float, default=12.0, help="seconds from the end of one outage to the next")
    parser.add_argument("--poll-seconds", type=int, default=4, help="seconds between a device's polls")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    options = parser.parse_args()
    random.seed(0)
    with running(options.poll_seconds) as topology:
        (folder := topology.folder / "load").mkdir()
        figures = measure(topology, folder, options)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"\n{show(figures)}")
    for name, faults in figures["faults"].items():
        print(name, *faults, sep="\n  ")
    sys.exit(1 if any(figures[name] for name in PROMISES) else 0)


if __name__ == "__main__":
    main()
