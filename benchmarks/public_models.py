"""Deliver public models of all kinds the whole way, and compare payloads with what zstd makes of the same versions.

Each goes through the commands, a real server, a worker and two devices: base, publish, device; then an update, exact
on one line and sparse (2 %) on the other, publish, device, verify. What is recorded already is not run again:
`python -m benchmarks.public_models --json FILE`. The models are left to `model_list`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.model_files import Pair, Wheels
from benchmarks.model_list import Model, models
from benchmarks.peers import LARGE, ZSTD, run
from benchmarks.with_peak import peak_bytes
from diffclient.store.store import Store
from diffclient.tensors.snapshot import Snapshot
from diffserver.demo.run import Server, serving

KINDS = ("exact", "sparse")
BUDGET = 0.02
ONE_THREAD = {"OMP_NUM_THREADS": "1"}

Figures = dict[str, Any]


@dataclass(frozen=True)
class Device:
    """A device: the real client with a folder of its own."""

    store: Path

    def run(self, *arguments: str) -> tuple[Any, Figures]:
        """Run `diffclient … --json`; return what it prints, and its seconds and peak memory."""
        with tempfile.NamedTemporaryFile() as peak:
            command = ["benchmarks.with_peak", peak.name, "diffclient", *arguments, "--store", str(self.store)]
            started = time.monotonic()
            answer = _run(*command)
            cost = {"seconds": round(time.monotonic() - started, 1), "peak_mb": round(int(peak.read()) / 1e6)}
        return answer, cost

    def weights(self) -> Snapshot:
        """Return the weights that it has."""
        store = Store(self.store)
        current = store.state().current
        assert current is not None
        return Snapshot(store.weights(current.digest))


def _run(module: str, *arguments: str, **environment: str) -> Any:
    command = [sys.executable, "-m", module, *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=os.environ | ONE_THREAD | environment, check=True)
    return json.loads(done.stdout)


@contextmanager
def working(home: Path) -> Iterator[Path]:
    """Run a worker; give the file that tells its memory."""
    command = [sys.executable, "-m", "diffserver", "worker", "--home", str(home)]
    with (home / "worker.log").open("ab") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | ONE_THREAD)
        try:
            yield Path(f"/proc/{child.pid}/status")
        finally:
            child.terminate()
            child.wait()


def deliver(model: Model, pair: Pair, folder: Path) -> Figures:
    """Take a model the whole way; return its figures."""
    home = folder / "server"
    _run("diffserver", "init", "--home", str(home))
    lines = {}
    with serving(home, "--no-worker") as server:
        for kind in KINDS:
            with working(home) as status:
                lines[kind] = _line(server, kind, pair, folder)
                lines[kind]["worker_peak_mb"] = round(peak_bytes(status) / 1e6)
    old, new = (folder / f"exact-{number}.safetensors" for number in (0, 1))
    table = Snapshot(new).table
    zstd = _zstd(old, new)
    return {
        "name": model.name,
        "kind": model.kind,
        "source": model.source,
        "update": model.update,
        "file_bytes": pair[1].stat().st_size,
        "weights": sum(spec.size for spec in table),
        "tensors": len(table),
        **lines,
        **zstd,
        "exact_is_smallest": lines["exact"]["bytes"] < min(zstd["zstd_bytes"], zstd["zstd_patch_bytes"]),
    }


def _line(server: Server, kind: str, pair: Pair, folder: Path) -> Figures:
    """Take a model through one line of versions, with one kind of update."""
    device, name = Device(folder / kind), f"model-{kind}"
    started = time.monotonic()
    base = server.operator("base", name, "--from-checkpoint", str(pair[0]))
    base_seconds = time.monotonic() - started
    server.operator("publish", str(base["id"]))
    access = ["--token", server.token, "--root", str(server.root)]
    device.run("enroll", server.url, *access, "--model", name, "--name", kind)
    _, first = device.run("update")
    shutil.copy(device.weights().path, folder / f"{kind}-0.safetensors")
    started = time.monotonic()
    options = ["--kind", kind, "--budget", str(BUDGET), "--force"]
    made = server.operator("publish", name, "--from-checkpoint", str(pair[1]), *options)
    seconds = time.monotonic() - started
    outcome, cost = device.run("update")
    verified, _ = device.run("verify")
    shutil.copy(device.weights().path, folder / f"{kind}-1.safetensors")
    return {
        "bytes": outcome["payload_bytes"],
        "digest_equal": made["version"]["digest"] == outcome["digest"] == verified["digest"],
        "notes": made["candidates"][kind]["notes"][1:],
        "seconds": {"base": round(base_seconds, 1), "publish": round(seconds, 1), "device": cost["seconds"]},
        "device_peak_mb": max(first["peak_mb"], cost["peak_mb"]),
    }


def _zstd(old: Path, new: Path) -> Figures:
    """Return the bytes of zstd for the new version's file alone, and for a patch from the old one's."""
    level = "-3" if new.stat().st_size > LARGE else "-19"
    alone, patch = new.with_suffix(".zst"), new.with_suffix(".patch")
    run(["zstd", "-q", "-f", level, "--long=31", str(new), "-o", str(alone)])
    ZSTD.make(old, new, patch)
    return {"zstd_level": int(level[1:]), "zstd_bytes": alone.stat().st_size, "zstd_patch_bytes": patch.stat().st_size}


def table(rows: Sequence[Figures]) -> str:
    """Return the figures as lines of text."""
    lines = [f"{'model':22} {'weights':>11} {'exact':>11} {'sparse':>10} {'zstd':>11} {'patch':>11}  worker  device"]
    for row in rows:
        exact, sparse = row["exact"], row["sparse"]
        marks = "" if row["exact_is_smallest"] and exact["digest_equal"] and sparse["digest_equal"] else "  MISSED"
        peaks = [max(exact[peak], sparse[peak]) for peak in ("worker_peak_mb", "device_peak_mb")]
        lines.append(
            f"{row['name']:22} {row['weights']:11,} {exact['bytes']:11,} {sparse['bytes']:10,} "
            f"{row['zstd_bytes']:11,} {row['zstd_patch_bytes']:11,} {peaks[0]:4} MB {peaks[1]:4} MB{marks}"
        )
    return "\n".join(lines)


def main() -> None:
    """Deliver what is not in the file yet, print a table, and write the figures after every model."""
    parser = argparse.ArgumentParser("benchmarks.public_models", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write the figures here, and go on with what is there")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "diffserver-models")
    parser.add_argument("--only", nargs="*", help="names of models")
    arguments = parser.parse_args()
    written = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}
    rows: dict[str, Figures] = {row["name"]: row for row in written.get("models", [])}
    wheels = Wheels(arguments.cache / "wheels")
    wheels.folder.mkdir(parents=True, exist_ok=True)
    for model in models():
        if model.name in rows or (arguments.only and model.name not in arguments.only):
            continue
        print(f"{model.name}: {model.update}", file=sys.stderr)
        with (
            tempfile.TemporaryDirectory(prefix="made-", dir=arguments.cache) as made,
            tempfile.TemporaryDirectory() as folder,
        ):
            rows[model.name] = deliver(model, model.make(wheels, Path(made)), Path(folder))
        if arguments.json:
            done = [rows[model.name] for model in models() if model.name in rows]
            arguments.json.write_text(json.dumps({"machine": machine.describe(), "models": done}, indent=1) + "\n")
    print(table([*rows.values()]))


if __name__ == "__main__":
    main()
