"""Polls that find nothing new, of a million enrolled devices, against an empty authenticated route on the same uvicorn.

The devices are rows of a PostgreSQL of its own that syncs to the disk; wrk is the load. Both servers run all along, and
are asked in turn; beside that, polls at a fixed rate with reports between them, reports alone, and enrolments alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.enrolled import LUA, MODEL, enrol, poll_of
from diffserver.catalog import tokens, versions
from diffserver.demo.run import free_port
from diffserver.settings import Settings
from diffserver.storage import migrate
from diffserver.storage.database import connect, writing
from diffserver.trust import releases
from diffserver.trust.bootstrap import establish
from diffserver.trust.keys import Keyring
from tests.hostile.postgres_cluster import cluster
from tests.server import factories
from tests.waiting import wait_for

VERSIONS = 10
RATE, REPORTS = 556, 100
BARS = {"ratio": (0.6, "at least"), "p99_ms_at_556": (50.0, "at most")}
BARS |= {"reports_rate": (500.0, "at least"), "enrolments_rate": (300.0, "at least")}


@dataclass(frozen=True)
class Side:
    """A server under load: its port, and the requests that it gets."""

    port: int
    script: Path

    def rate(self, seconds: float, connections: int = 16) -> float:
        """Return how many requests it answers in a second; none may fail."""
        words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(self.script)]
        done = subprocess.run([*words, f"http://127.0.0.1:{self.port}"], capture_output=True, text=True, check=True)
        rate, errors = re.findall(r"^rate=(\S+) errors=(\d+)", done.stdout, re.M)[0]
        if int(errors):
            raise SystemExit(f"{errors} requests failed: {done.stdout}")
        return float(rate)


@contextmanager
def server(words: Sequence[str], port: int, environment: dict[str, str], log: Path) -> Iterator[None]:
    """Run a server until the block ends."""
    with log.open("wb") as stream:
        running = subprocess.Popen([sys.executable, "-m", *words], env=environment, stdout=stream, stderr=stream)
    try:
        wait_for(lambda: listens(port))
        yield
    finally:
        running.terminate()
        running.wait()


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def prepared(settings: Settings, devices: int) -> tuple[str, str]:
    """Make a server's home, publish, and enrol; return the digest that devices hold and a token to enrol with."""
    engine = connect(settings.database)
    migrate.upgrade(engine)
    establish(engine, settings)
    with writing(engine) as session:
        for new in [factories.base(), *(factories.update(f"v{n - 1}", f"v{n}", n) for n in range(1, VERSIONS))]:
            candidate = versions.record_candidate(session, new)
            session.flush()
            digest = releases.publish(session, Keyring(settings.keys), candidate.id, by="benchmark").digest
        enrol(session, devices, digest)
        _, secret = tokens.create(session, "enroll", "benchmark")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    engine.dispose()
    return digest, secret


def script(folder: Path, path: str, tokens: int, body: Mapping[str, object], token: str | None = None) -> Path:
    """Write a script of wrk: a request of each device in turn, in whose body `%s` stands for its number."""
    text = LUA.format(tokens=tokens, path=path, body=json.dumps(json.dumps(body)))
    if token:
        text = text.replace('"Bearer ds_device_" .. number', json.dumps(f"Bearer {token}"))
    file = folder / f"{path.rpartition('/')[2]}.lua"
    file.write_text(text)
    return file


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Return all figures."""
    with tempfile.TemporaryDirectory() as temporary, cluster("-c shared_buffers=512MB") as database:
        folder, ports = Path(temporary), (free_port(), free_port())
        variables = {"DIFFSERVER_HOME": str(folder), "DIFFSERVER_DATABASE": database.url}
        environment = dict(os.environ) | variables
        began = time.monotonic()
        digest, enroller = prepared(Settings.from_environment(variables), args.devices)
        _say(f"{args.devices:,} devices enrolled in {time.monotonic() - began:.0f} s")
        said = poll_of(0, digest) | {"boot": "%s"}
        report = {"stage": "installed", "to_digest": digest, "report_id": "%s"}
        newcomer = {"model": MODEL, "name": "newcomer", "attributes": {"region": "eu"}}
        polls = script(folder, "/v1/device/poll", args.tokens, said)
        serve = ["diffserver", "serve", "--no-worker", "--port", str(ports[0])]
        empty = ["benchmarks.empty_route", str(ports[1]), str(args.tokens)]
        with (
            server(serve, ports[0], environment, folder / "server.log"),
            server(empty, ports[1], environment, folder / "empty.log"),
        ):
            ours, theirs = Side(ports[0], polls), Side(ports[1], polls)
            warm = warm_up(ours, args.tokens)
            rates = [(ours.rate(args.seconds), theirs.rate(args.seconds)) for _ in range(args.rounds)]
            fixed = at_fixed_rate(ports[0], digest, args)
            reports = Side(ports[0], script(folder, "/v1/device/reports", args.tokens, report)).rate(args.seconds, 64)
            newcomers = Side(ports[0], script(folder, "/v1/enroll", args.tokens, newcomer, enroller))
            enrolments = newcomers.rate(args.seconds, 64)
    rate, empty_rate = (round(statistics.median(side)) for side in zip(*rates, strict=True))
    return {
        "devices": args.devices,
        "tokens": args.tokens,
        "rate": rate,
        "empty_route_rate": empty_rate,
        "ratio": round(statistics.median(one / other for one, other in rates), 3),
        "ratios": [round(one / other, 3) for one, other in rates],
        "p99_ms_at_556": fixed["p99_ms"],
        "reports_p99_ms": fixed["reports_p99_ms"],
        "first_polls_rate": round(warm),
        "reports_rate": round(reports),
        "enrolments_rate": round(enrolments),
    }


def warm_up(side: Side, tokens: int) -> float:
    """Let each device poll once at least; return how many first polls were answered in a second."""
    first = side.rate(5)
    side.rate(int(tokens / first) + 1)
    return first


def at_fixed_rate(port: int, digest: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return what polls at a fixed rate took, with reports beside them, from a process of its own."""
    words = ["benchmarks.open_loop", str(port), "--digest", digest, "--tokens", str(args.tokens)]
    rates = ["--polls", str(RATE), "--reports", str(REPORTS), "--seconds", str(args.fixed_seconds)]
    done = subprocess.run([sys.executable, "-m", *words, *rates], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    if found["wrong"]:
        raise SystemExit(f"{found['wrong']} answers were not what they should be")
    return found


def bars(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the bars, and whether each holds."""
    return [
        {"what": what, "value": figures[what], how.replace(" ", "_"): limit, "holds": _holds(figures[what], limit, how)}
        for what, (limit, how) in BARS.items()
    ]


def _holds(value: float, limit: float, how: str) -> bool:
    return value >= limit if how == "at least" else value <= limit


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print a table, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--devices", type=int, default=1_000_000, help="devices that are enrolled")
    parser.add_argument("--tokens", type=int, default=50_000, help="devices that poll, one after the other")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of both sides")
    parser.add_argument("--seconds", type=int, default=10, help="seconds of each side in a round")
    parser.add_argument("--fixed-seconds", type=int, default=60, help="seconds at the fixed rate")
    args = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is needed: apt-get install wrk")
    described = machine.describe()
    figures = measure(args)
    figures |= {"bars": bars(figures), "machine": described}
    for name, value in figures.items():
        if name not in ("bars", "machine"):
            print(f"{name:20} {value}")
    for bar in figures["bars"]:
        print(f"{bar['what']:20} {bar['value']:>10}  {'holds' if bar['holds'] else 'MISSED'}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
