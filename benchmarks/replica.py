"""A server alone, for twenty minutes under a steady load: how fast it starts, what it takes, and whether it grows.

Devices poll and report at a fixed rate, one in a second enrols, and an operator lists. PostgreSQL is the database. What
happens when processes are killed meanwhile is `soak`'s.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from benchmarks import machine
from benchmarks.enrolled import MODEL
from benchmarks.poll import listens, prepared
from benchmarks.soak import growth
from benchmarks.soaked_product import Sample
from diffserver.catalog import tokens
from diffserver.demo.run import free_port
from diffserver.settings import Settings
from diffserver.storage.column_types import Base
from diffserver.storage.database import connect, reading, writing
from tests.hostile.postgres_cluster import cluster

DEVICES, POLLS, REPORTS = 10_000, 50, 10
STARTS = 5
STEP_SECONDS = 5.0
BARS = {"start_s": 2.0, "rss_mb": 200.0, "rss_growth_mb": 10.0, "files_growth": 5, "threads_growth": 5}


class Server:
    """A server in a process, on a port of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.port, self.environment = free_port(), environment
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = self._run()

    def _run(self) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "diffserver", "serve", "--no-worker", "--port", str(self.port)]
        return subprocess.Popen(words, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def restart(self) -> float:
        """End it and start it again; return the seconds until it answers."""
        self.stop()
        began = time.perf_counter()
        self.process = self._run()
        while not listens(self.port):
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended with status {self.process.returncode} as it started")
            time.sleep(0.01)
        urllib.request.urlopen(f"{self.url}/healthz").read()
        return time.perf_counter() - began

    def stop(self) -> None:
        """End it, and wait for that."""
        self.process.terminate()
        self.process.wait()

    def sample(self) -> Sample:
        """Return what it uses now."""
        folder = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        files = len(list((folder / "fd").iterdir()))
        return Sample(int(status["VmRSS"].split()[0]) / 1000, files, int(status["Threads"]))


class People:
    """A newcomer and an operator, who ask a little now and then."""

    def __init__(self, url: str, operator: str, enroller: str) -> None:
        self.url, self.operator, self.enroller = url, operator, enroller

    def ask(self) -> None:
        """Enrol one device, and list what an operator looks at."""
        body = json.dumps({"model": MODEL, "name": "newcomer"}).encode()
        self._request("/v1/enroll", self.enroller, body)
        for path in (f"/v1/models/{MODEL}/devices", "/v1/status", "/metrics", f"/v1/reports?model={MODEL}"):
            self._request(path, self.operator)

    def _request(self, path: str, token: str, body: bytes | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, body, headers)) as answer:
            answer.read()


def soak(server: Server, digest: str, people: People, seconds: float) -> tuple[list[Sample], dict[str, Any]]:
    """Return samples over a steady load, and what the load saw."""
    words = [str(server.port), "--digest", digest, "--tokens", str(DEVICES), "--seconds", str(seconds)]
    rates = ["--polls", str(POLLS), "--reports", str(REPORTS)]
    command = [sys.executable, "-m", "benchmarks.open_loop", *words, *rates]
    samples = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        while load.poll() is None:
            people.ask()
            samples.append(server.sample())
            time.sleep(STEP_SECONDS)
        assert load.stdout is not None
        return samples, json.loads(load.stdout.read())


def measure(seconds: float, starts: int) -> dict[str, Any]:
    """Return all figures."""
    with tempfile.TemporaryDirectory() as temporary, cluster("-c shared_buffers=256MB") as database:
        variables = {"DIFFSERVER_HOME": temporary, "DIFFSERVER_DATABASE": database.url}
        settings = Settings.from_environment(variables)
        digest, enroller = prepared(settings, DEVICES)
        engine = connect(settings.database)
        server = Server(os.environ | variables)
        try:
            began = sorted(server.restart() for _ in range(starts))
            with writing(engine) as session:
                _, operator = tokens.create(session, "viewer", "benchmark")
            people = People(server.url, operator, enroller)
            rows = _rows(engine)
            samples, load = soak(server, digest, people, seconds)
            after = _rows(engine)
        finally:
            server.stop()
            engine.dispose()
    grown = {f"{name}_growth": growth(samples, name) for name in ("files", "threads")}
    return {
        "seconds": seconds,
        "start_s": round(began[len(began) // 2], 2),
        "starts_s": [round(each, 2) for each in began],
        "rss_mb": max(sample.rss_mb for sample in samples),
        "rss_growth_mb": growth(samples, "rss_mb"),
        **grown,
        "load": load,
        "rows_before": rows,
        "rows_after": after,
        "samples": [asdict(sample) for sample in samples[:: max(1, len(samples) // 60)]],
    }


def _rows(engine: Any) -> dict[str, int]:
    with reading(engine) as session:
        tables = sorted(Base.metadata.tables.values(), key=lambda table: table.name)
        return {table.name: session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


def main() -> None:
    """Measure, print, and exit with status 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument("--minutes", type=float, default=20.0, help="how long the load lasts")
    parser.add_argument("--starts", type=int, default=STARTS, help="starts, the median of which counts")
    options = parser.parse_args()
    described = machine.describe()
    figures = measure(60 * options.minutes, options.starts)
    for what, most in BARS.items():
        print(f"{what:16} {figures[what]:8} (at most {most})")
    print("load", figures["load"])
    if options.json:
        options.json.write_text(json.dumps(figures | {"machine": described}, indent=1) + "\n")
    missed = [what for what, most in BARS.items() if figures[what] > most]
    if missed or figures["load"]["wrong"]:
        raise SystemExit(f"missed: {missed}, wrong answers: {figures['load']['wrong']}")


if __name__ == "__main__":
    main()
