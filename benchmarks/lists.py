"""Lists of a million devices: how long a page takes, by filter and wherever it begins, and what the whole list takes.

The devices are rows of a PostgreSQL of its own: a sixteenth is behind, others are in the middle of an update, failed,
gone or of another region, and each has reported twice. The server runs as an operator starts it; a page is timed over
HTTP, and the command's memory is its process's own peak.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2

from benchmarks import machine
from benchmarks.enrolled import MODEL, vary
from benchmarks.poll import prepared, server
from diffserver.catalog import tokens
from diffserver.demo.run import free_port
from diffserver.settings import Settings
from diffserver.storage.database import connect, writing
from tests.hostile.postgres_cluster import cluster
from tests.server import factories

FILTERS = {
    "all": {},
    "behind": {"behind": "true"},
    "stuck": {"stuck": "true"},
    "failed": {"failed": "true"},
    "failed and behind": {"failed": "true", "behind": "true"},
    "gone too": {"left": "true"},
    "of a channel": {"channel": "stable"},
    "of the common region": {"attribute": "region=eu"},
    "of the rare region": {"attribute": "region=no"},
}
LIMIT = 100
PLACES = 5
"""Where pages begin: so many places of the fleet, from its first device to near its last."""
MOST_MILLISECONDS, MOST_BYTES = 50.0, 150_000_000


def page_times(client: httpx2.Client, devices: int, rounds: int) -> dict[str, float]:
    """Return the slowest page of each filter, in milliseconds: the median of the rounds at each place."""
    found = {}
    for name, query in FILTERS.items():
        begins = ["", *(f"{devices * place // PLACES:024x}" for place in range(1, PLACES))]
        found[name] = max(page_time(client, {**query, "after": after}, rounds) for after in begins)
    return found


def page_time(client: httpx2.Client, query: dict[str, str], rounds: int) -> float:
    """Return what a page takes, in milliseconds: the median of the rounds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        client.get(f"/v1/models/{MODEL}/devices", params={**query, "limit": str(LIMIT)}).raise_for_status()
        times.append((time.perf_counter() - began) * 1e3)
    return round(statistics.median(times), 1)


def listed(environment: dict[str, str], folder: Path, *words: str) -> dict[str, Any]:
    """Run a command to its end; return its seconds, its peak memory and the bytes that it printed."""
    out, peak = folder / "out", folder / "peak"
    command = [sys.executable, "-m", "benchmarks.with_peak", str(peak), "diffserver", *words]
    began = time.monotonic()
    with out.open("wb") as stream:
        subprocess.run(command, env=environment, stdout=stream, check=True)
    seconds = time.monotonic() - began
    return {"seconds": round(seconds, 1), "peak_bytes": int(peak.read_text()), "bytes": out.stat().st_size}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Return all figures."""
    with tempfile.TemporaryDirectory() as temporary, cluster("-c shared_buffers=512MB") as database:
        folder, port = Path(temporary), free_port()
        variables = {"DIFFSERVER_HOME": str(folder), "DIFFSERVER_DATABASE": database.url}
        settings = Settings.from_environment(variables)
        prepared(settings, args.devices)
        engine = connect(settings.database)
        with writing(engine) as session:
            vary(session, factories.digest("v8"))
            _, secret = tokens.create(session, "admin", "benchmark")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
        engine.dispose()
        reach = {"DIFFSERVER_URL": f"http://127.0.0.1:{port}", "DIFFSERVER_TOKEN": secret}
        environment = dict(os.environ) | variables | reach
        words = ["diffserver", "serve", "--no-worker", "--port", str(port)]
        with (
            server(words, port, environment, folder / "server.log"),
            httpx2.Client(
                base_url=reach["DIFFSERVER_URL"], headers={"Authorization": f"Bearer {secret}"}, timeout=60
            ) as client,
        ):
            pages = page_times(client, args.devices, args.rounds)
            whole = listed(environment, folder, "devices", MODEL, "--json")
            made = listed(environment, folder, "token", "list", "--json")
    return {
        "devices": args.devices,
        "page_ms": pages,
        "slowest_page_ms": max(pages.values()),
        "devices_command": whole,
        "token_list_command": made,
        "bars": [
            _bar("slowest page, ms", max(pages.values()), MOST_MILLISECONDS),
            _bar("peak of the whole list, bytes", whole["peak_bytes"], MOST_BYTES),
        ],
        "machine": machine.describe(),
    }


def _bar(what: str, value: float, most: float) -> dict[str, Any]:
    return {"what": what, "value": value, "at_most": most, "holds": value <= most}


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--devices", type=int, default=1_000_000, help="devices that are enrolled")
    parser.add_argument("--rounds", type=int, default=5, help="how often each page is asked for")
    args = parser.parse_args()
    figures = measure(args)
    for name, milliseconds in figures["page_ms"].items():
        print(f"{name:22} {milliseconds:>8} ms")
    for name in ("devices_command", "token_list_command"):
        print(f"{name:22} {figures[name]}")
    for bar in figures["bars"]:
        print(f"{bar['what']:30} {bar['value']:>12,}  {'holds' if bar['holds'] else 'MISSED'}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
