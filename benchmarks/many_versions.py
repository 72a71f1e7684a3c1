"""Many versions: polls of one model with 10 versions, of 1,000 models with 10, and of one model with 10,000.

Every version is published as an operator's command does it, signed, into a PostgreSQL of its own; a server of each runs
all along, and they are asked in turn. What is timed: polls that find nothing new, polls for which a way has to be
planned, and the planning by itself, of a server that knows nothing of the model yet.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from benchmarks import machine
from benchmarks.enrolled import MODEL, enrol, poll_of
from benchmarks.poll import Side, script, server, warm_up
from diffclient.network.holding import Holding
from diffserver.catalog import versions
from diffserver.demo.run import free_port
from diffserver.rollouts.answer import answer
from diffserver.settings import Settings
from diffserver.storage import migrate
from diffserver.storage.database import connect, reading, writing
from diffserver.storage.tables import Device
from diffserver.trust import releases
from diffserver.trust.bootstrap import establish
from diffserver.trust.keys import Keyring
from tests.hostile.postgres_cluster import cluster
from tests.server import factories

DEVICES = 2000
BEHIND = {"one version behind": 1, "nine versions behind": 9, "nothing held": None}
"""What a device holds whose way is planned."""
MOST_TIMES = 1.5
"""How many times as long as of one model with 10 versions anything may take."""


@dataclass(frozen=True)
class Size:
    """So many models of so many versions."""

    name: str
    models: int
    versions: int

    @property
    def share(self) -> int:
        """How many devices each model has."""
        return DEVICES // self.models

    def newest(self, before: int = 0) -> str:
        """Return the digest of the newest version of each model, or of one before it."""
        return factories.digest(f"v{self.versions - 1 - before}")

    def model(self, number: int) -> str:
        """Return a model's name."""
        return MODEL if number == 0 else f"{MODEL}-{number}"


def sizes(models: int, most: int) -> list[Size]:
    """Return what is compared; the first is what the others are held against."""
    return [
        Size("one model, 10 versions", 1, 10),
        Size(f"{models:,} models, 10 versions each", models, 10),
        Size(f"one model, {most:,} versions", 1, most),
    ]


def prepare(size: Size, variables: Mapping[str, str]) -> list[float]:
    """Make a server's home with all versions and some devices; return what the last hundred publishes took, in ms."""
    settings = Settings.from_environment(variables)
    engine = connect(settings.database)
    migrate.upgrade(engine)
    establish(engine, settings)
    keyring, took = Keyring(settings.keys), []
    for number in range(size.models):
        model = size.model(number)
        for version in range(size.versions):
            began = time.perf_counter()
            with writing(engine) as session:
                new = factories.update(f"v{version - 1}", f"v{version}", version, model) if version else None
                candidate = versions.record_candidate(session, new or factories.base(model))
                session.flush()
                releases.publish(session, keyring, candidate.id, by="benchmark")
            took.append((time.perf_counter() - began) * 1000)
        with writing(engine) as session:
            enrol(session, size.share, size.newest(), model, number * size.share)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    engine.dispose()
    return took[-100:]


def planning(size: Size, variables: Mapping[str, str], times: int = 50) -> dict[str, float]:
    """Return how long an answer takes that begins with nothing read, in milliseconds, by what a device holds."""
    engine = connect(Settings.from_environment(variables).database)
    took: dict[str, list[float]] = {name: [] for name in BEHIND}
    with reading(engine) as session:
        device = session.scalars(select(Device).where(Device.model == size.model(size.models - 1)).limit(1)).one()
        for name, before in list(BEHIND.items()) * times:
            began = time.perf_counter()
            found = answer(session, device, Holding(None if before is None else size.newest(before)))
            took[name].append((time.perf_counter() - began) * 1000)
            assert len(found.steps) == (before or 1)
    engine.dispose()
    return {name: round(statistics.median(each), 3) for name, each in took.items()}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of every size, and what they are of the first one's."""
    compared = sizes(args.models, args.versions)
    with ExitStack() as stack:
        homes = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in compared]
        databases = [stack.enter_context(cluster("-c shared_buffers=128MB")).url for _ in compared]
        variables = [
            {"DIFFSERVER_HOME": str(home), "DIFFSERVER_DATABASE": url}
            for home, url in zip(homes, databases, strict=True)
        ]
        with ProcessPoolExecutor(2) as pool:
            published = list(pool.map(prepare, compared, variables))
        ports = [free_port() for _ in compared]
        for port, home, each in zip(ports, homes, variables, strict=True):
            words = ["diffserver", "serve", "--no-worker", "--port", str(port)]
            stack.enter_context(server(words, port, os.environ | each, home / "server.log"))
        rates = polls([Loads(*each) for each in zip(compared, ports, homes, strict=True)], args)
        plans = [planning(*each) for each in zip(compared, variables, strict=True)]
    cases = [
        {"size": size.name, "publish_ms": round(statistics.median(took), 1), "planning_ms": plan, **rate}
        for size, took, plan, rate in zip(compared, published, plans, rates, strict=True)
    ]
    return {"cases": cases, "times": times(cases)}


@dataclass(frozen=True)
class Loads:
    """A size's server, and the two kinds of polls that it gets."""

    size: Size
    port: int
    home: Path

    def side(self, **said: object) -> Side:
        """Return polls of all devices in turn, which say what they hold and what is given."""
        body = poll_of(0, self.size.newest()) | {"boot": "%s"} | said
        return Side(self.port, script(self.home, "/v1/device/poll", self.size.share * self.size.models, body))


def polls(loads: Sequence[Loads], args: argparse.Namespace) -> list[dict[str, float]]:
    """Return how many polls a second each server answers: those that find nothing new, and those that are planned."""
    found: dict[str, list[list[float]]] = {"idle_rate": [], "planned_rate": []}
    for load in loads:
        warm_up(load.side(), DEVICES)
    for _ in range(args.rounds):
        found["idle_rate"].append([load.side().rate(args.seconds) for load in loads])
        found["planned_rate"].append([load.side(**failed(load.size)).rate(args.seconds) for load in loads])
    return [
        {name: round(statistics.median(each[index] for each in rounds)) for name, rounds in found.items()}
        for index in range(len(loads))
    ]


def failed(size: Size) -> dict[str, object]:
    """Return what a device says that is five versions behind, and for which a step failed: no answer is remembered."""
    return {"digest": size.newest(5), "without": ["speech/v0/0.snapshot"]}


def times(cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for all but the first size how many times as long it takes."""
    first = cases[0]
    return [
        {"size": case["size"]}
        | {f"{name}_poll": round(first[f"{name}_rate"] / case[f"{name}_rate"], 2) for name in ("idle", "planned")}
        | {name: round(took / first["planning_ms"][name], 2) for name, took in case["planning_ms"].items()}
        for case in cases[1:]
    ]


def main() -> None:
    """Measure, print a table, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--models", type=int, default=1000, help="models of 10 versions")
    parser.add_argument("--versions", type=int, default=10_000, help="versions of one model")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of all sides")
    parser.add_argument("--seconds", type=int, default=4, help="seconds of each side in a round")
    args = parser.parse_args()
    described = machine.describe()
    figures = measure(args) | {"at_most_times": MOST_TIMES, "machine": described}
    for case in figures["cases"]:
        print(json.dumps(case))
    for case in figures["times"]:
        worst = max(value for name, value in case.items() if name != "size")
        print(json.dumps(case), "holds" if worst <= MOST_TIMES else "MISSED")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
