"""Blobs through nginx and its cache, as `make up` runs it, against the same nginx with the same files on its disk.

wrk asks for the blobs of one size in turn, on both sides in turn. Beside the rates stands how many blobs the servers
behind nginx have sent: each one once, whatever is asked.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from deploy.loopback import control
from deploy.loopback.process import Process
from deploy.loopback.programs import NGINX, located
from deploy.loopback.topology import HOST, Topology, filled
from diffserver.demo.run import free_port
from diffserver.storage.object_store import Objects

SIZES = {"4 kB": (4 << 10, 500), "100 kB": (100 << 10, 200), "2 MB": (2 << 20, 30), "50 MB": (50 << 20, 4)}
"""Bytes of a blob and their number: a part of a probe set, a payload, a large one, a snapshot."""

LEAST_RATIO = 0.9

FILES = """
server {{
    listen {listen};
    location /v1/blobs/ {{ alias {folder}/; }}
}}
"""

LUA = """
local names, n = {{{names}}}, 0
request = function()
  n = n % #names + 1
  return wrk.format("GET", "/v1/blobs/" .. names[n])
end
done = function(summary, latency, requests)
  io.write(string.format("rate=%f errors=%d\\n", summary.requests / summary.duration * 1e6,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """Requests for the blobs of one size, in turn."""

    script: Path
    connections: int
    seconds: int

    def rate(self, url: str) -> float:
        """Return how many requests are answered in a second; none may fail."""
        words = ["wrk", "-t1", f"-c{self.connections}", f"-d{self.seconds}s", "--timeout", "30s", "-s"]
        done = subprocess.run([*words, str(self.script), url], capture_output=True, text=True, check=True)
        rate, errors = re.findall(r"^rate=(\S+) errors=(\d+)", done.stdout, re.M)[0]
        if int(errors):
            raise SystemExit(f"{errors} requests failed: {done.stdout}")
        return float(rate)


@contextmanager
def files_of(folder: Path, names: Sequence[str], objects: Path) -> Iterator[str]:
    """Serve the same files by an nginx of the same configuration, without anything behind it; yield its URL."""
    files, own, port = folder / "files", folder / "plain", free_port()
    files.mkdir()
    own.mkdir()
    for name in names:
        shutil.copyfile(objects / "sha256" / name[:2] / name, files / name)
    around = {"FOLDER": str(own), "USER": "user www-data;" if os.getuid() == 0 else ""}
    (own / "nginx.conf").write_text(filled("loopback/nginx.conf.template", around))
    (own / "diffserver.conf").write_text(FILES.format(listen=f"{HOST}:{port}", folder=files))
    words = ("-e", str(own / "error.log"), "-c", str(own / "nginx.conf"), "-g", "daemon off;")
    nginx = Process("plain", (located(NGINX), "-p", str(own), *words), folder)
    nginx.start()
    try:
        yield f"http://{HOST}:{port}"
    finally:
        nginx.stop()


def sent_by_servers(topology: Topology) -> int:
    """Return how many blobs the servers have sent."""
    counted = r'^diffserver_requests_total\{.*route="/v1/blobs/.*\} (\d+)'
    token = {"Authorization": f"Bearer {topology.token_file.read_text().strip()}"}
    sent = 0
    for address in topology.addresses:
        with urllib.request.urlopen(urllib.request.Request(f"http://{address}/metrics", headers=token)) as answer:
            sent += sum(int(count) for count in re.findall(counted, answer.read().decode(), re.M))
    return sent


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the figures of each size, and what the servers sent."""
    topology = Topology(folder / "up", free_port())
    control.up(topology)
    try:
        objects = Objects(topology.environment["DIFFSERVER_OBJECTS"])
        names = {
            size: [objects.put(os.urandom(length)).sha256 for _ in range(count)]
            for size, (length, count) in SIZES.items()
        }
        every = [name for of_size in names.values() for name in of_size]
        with files_of(folder, every, topology.home / "objects") as plain:
            cases = [_case(size, of_size, topology.url, plain, options, folder) for size, of_size in names.items()]
        return {"cases": cases, "blobs": len(every), "sent_by_servers": sent_by_servers(topology)}
    finally:
        control.down(topology)


def _case(
    size: str, names: Sequence[str], ours: str, plain: str, options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    script = folder / "blobs.lua"
    script.write_text(LUA.format(names=", ".join(f'"{name}"' for name in names)))
    for url in (ours, plain):  # each blob once
        for name in names:
            urllib.request.urlopen(f"{url}/v1/blobs/{name}").read()
    load = Load(script, options.connections, options.seconds)
    rates = [(load.rate(ours), load.rate(plain)) for _ in range(options.rounds)]
    rate, plain_rate = (round(statistics.median(side), 1) for side in zip(*rates, strict=True))
    ratio = round(statistics.median(one / other for one, other in rates), 3)
    megabytes = round(rate * SIZES[size][0] / 1e6)
    print(
        f"{size:8} {rate:10,.1f}/s {megabytes:6,} MB/s, of files {plain_rate:10,.1f}/s, ratio {ratio:.3f}", flush=True
    )
    return {"size": size, "rate": rate, "rate_of_files": plain_rate, "mb_per_second": megabytes, "ratio": ratio}


def main() -> None:
    """Measure, print, and exit with status 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of both sides")
    parser.add_argument("--seconds", type=int, default=4, help="seconds of each side in a round")
    parser.add_argument("--connections", type=int, default=16, help="connections of wrk")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is needed: apt-get install wrk")
    described = machine.describe()
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)  # nginx's workers and PostgreSQL have users of their own
        figures = measure(options, folder)
    print(f"{figures['blobs']} blobs, {figures['sent_by_servers']} sent by the servers behind nginx")
    if options.json:
        options.json.write_text(json.dumps(figures | {"machine": described}, indent=1) + "\n")
    missed = [case["size"] for case in figures["cases"] if case["ratio"] < LEAST_RATIO]
    if missed or figures["blobs"] != figures["sent_by_servers"]:
        raise SystemExit(f"missed: a ratio of {LEAST_RATIO} at {missed}, or each blob once")


if __name__ == "__main__":
    main()
