"""A fleet: a bad version stops in its first stage and goes back everywhere; a good one then reaches every device.

The server is a process, PostgreSQL has a cluster of its own, and the devices are a simulated fleet: real updaters with
a store each, and devices that speak the protocol alone. What befalls the fleet is left to `fleet_story`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2

from benchmarks import machine
from benchmarks.fleet_story import BAD, STAGES, Figures, Story
from diffclient.simulate.fleet import Fleet
from diffclient.simulate.plan import Effect, Fault, Plan
from tests.client.lineage import CLASSIFIER, MODEL, Lineage, felt_diff
from tests.hostile.home_server import HomeServer
from tests.hostile.postgres_cluster import cluster

WORSE = Effect(BAD, points=5.0, share=0.3)
NETWORK = Fault("network", 0.02)


def plan(devices: int, real: int) -> Plan:
    """Return a fleet of which a fifth counts errors in the field, and three in ten are on a metered link."""
    return Plan(devices, real, metered=0.3, counting=0.2, effects=(WORSE,), faults=(NETWORK,))


def lineage(folder: Path) -> Lineage:
    """Return the versions 0, 1 and the bad one, and the good one, which is made from version 1 like the bad one."""
    versions = Lineage(folder, CLASSIFIER).grow(2)
    versions.extend(felt_diff(versions.versions[1].table, seed=3), start=1)
    return versions


def play(home: HomeServer, operator: httpx2.Client, options: argparse.Namespace) -> dict[str, Any]:
    """Let the fleet live through both versions; return the figures."""
    fleet = Fleet(
        plan(options.devices, options.real), str(operator.base_url).rstrip("/"), MODEL, home.folder.parent / "fleet",
        CLASSIFIER.score, tell=_tell,
    )  # fmt: skip
    began = time.monotonic()
    fleet.enroll(home.operator, (home.folder / "root.json").read_bytes())
    story = Story(home, operator, fleet)
    story.before()
    story.bad()
    story.good()
    story.latecomers()
    return {
        "devices": options.devices,
        "real": options.real,
        **story.figures(),
        "seconds": round(time.monotonic() - began, 1),
        "stages": STAGES,
        "worse": f"{WORSE.points:g} points on {WORSE.share:.0%} of the devices",
        "machine": machine.describe(),
    }


def missed(figures: Figures) -> list[str]:
    """Return the bars that are missed, in words."""
    touched, devices = figures["touched_by_bad"], figures["devices"]
    bars = {
        "the bad version was stopped in its first stage": figures["bad_stopped_in"] == STAGES[0],
        "it touched some devices, and only those of that stage": 0 < touched <= figures["chosen_for_bad"],
        "all of them returned": figures["restored"] == touched,
        "metered devices were among them": figures["restored_metered"] > 0,
        "they returned for no bytes": figures["return_bytes"] == 0,
        "the good version reached every device": figures["reached_by_good"] == devices,
        "the server counts as the devices do": figures["counts_exact"],
    }
    return [f"not so: {bar}" for bar, holds in bars.items() if not holds]


def _tell(what: str, done: int, of: int) -> None:
    if done % 100 == 0 or done == of:
        sys.stderr.write(f"\r{what} {done:,} of {of:,} devices ")


def main() -> None:
    """Play, print, and exit with status 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--real", type=int, default=1_000, help="how many of them are real updaters")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    options = parser.parse_args()
    with cluster() as database, tempfile.TemporaryDirectory() as folder:
        versions = lineage(Path(folder) / "versions")
        home = HomeServer(Path(folder) / "home", versions, {"DIFFSERVER_DATABASE": database.url})
        home.publish(0, 1)
        with home.serving(DIFFSERVER_ROLLOUT_SECONDS="1") as operator:
            figures = play(home, operator, options)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    print("\n" + "\n".join(f"{name}: {value}" for name, value in figures.items() if name != "machine"))
    sys.exit("; ".join(missed(figures)) or 0)


if __name__ == "__main__":
    main()
