"""Measure the time and memory that a device takes to apply diffs to a model of 1 GB.

    python -m benchmarks.apply --json apply.json

In one run, in alternating rounds: the client's whole update from payload files (read, decode, combine, write, sync,
hash), a plain copy of the same file that is synced and then hashed, and tools that patch files. Times are medians.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.contest import Contestant, Operation, child, compete
from benchmarks.patching import Limits, Pair, Patched, patches, sha256

RATIOS = {"sparse": 1.3, "hashed": 1.5, "chain": 1.6}
"""The largest ratio of a case's seconds to the copy's, by the first word of the case's name."""

PEAK_MB = 130
REFERENCE = "a read and write loop in plain Python with buffers of 1 MiB, fsync, then SHA-256 of the file read back"
TIMED = "in the process, from opening the first file to the digest; peers: the command, then fsync and SHA-256"


def timed(operation: str, parent: Path, steps: Sequence[str] = (), digest: str = "") -> Operation:
    """Return an operation of `timed`; the result of an update must have the digest."""

    def run(out: Path) -> tuple[float, float]:
        result, peak = child("timed", operation, parent, out, *steps)
        if digest and result["digest"] != digest:
            raise SystemExit(f"{steps}: digest {result['digest']}, not {digest}")
        return result["seconds"], peak

    return run


def case(parent: Path, facts: dict[str, Any]) -> Contestant:
    """Return the client's update by one chain of payloads."""
    payloads = [Path(step.rpartition("=")[0]) for step in facts["steps"]]
    return Contestant(facts["name"], [parent, *payloads], timed("update", parent, facts["steps"], facts["digest"]))


def judged(contestant: Contestant, copy: Contestant) -> dict[str, Any]:
    """Return a case's figures, its limits, and whether it kept them."""
    limit = RATIOS[contestant.name.split()[0]]
    payload_bytes = sum(path.stat().st_size for path in contestant.reads[1:])
    figures = contestant.figures(copy)
    kept = figures["ratio"] <= limit and figures["peak_mb"] <= PEAK_MB
    return figures | {
        "payload_bytes": payload_bytes,
        "ratio_limit": limit,
        "peak_limit_mb": PEAK_MB,
        "kept": kept,
    }


def model(folder: Path, tensors: int, tensor_mb: int) -> dict[str, Any]:
    """Make a model and its payloads in a new folder."""
    print(f"making a model of {tensors} × {tensor_mb} MiB and its payloads", file=sys.stderr)
    folder.mkdir()
    return child("models", folder, tensors, tensor_mb)[0]


def updated(facts: dict[str, Any]) -> Pair:
    """Return a model's file before and after its first case."""
    parent, first = Path(facts["parent"]), facts["cases"][0]
    new = parent.with_name("new.safetensors")
    timed("update", parent, first["steps"], first["digest"])(new)
    return Pair(parent, new, sha256(new))


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Make models and patches, time all contestants, and return the report."""
    machine_facts = machine.describe()
    facts = model(folder / "model", options.tensors, options.tensor_mb)
    parent, patched, left_out = Path(facts["parent"]), list[Patched](), list[dict[str, str]]()
    if options.peers:
        smaller = model(folder / "one tensor", 1, options.tensor_mb)
        patched, left_out = patches([updated(facts), updated(smaller)], Limits(options.patch_seconds, options.patch_mb))
    cases = [case(parent, entry) for entry in facts["cases"]]
    peers = [Contestant(entry.peer.name, [entry.pair.old, entry.patch], entry.restore) for entry in patched]
    copies = {
        path: Contestant(f"copy of {path.parent.name}", [path], timed("copy", path))
        for path in (parent, *(entry.pair.old for entry in patched))
    }
    compete([*copies.values(), *cases, *peers], options.rounds, folder / "out")
    return {
        "benchmark": "apply",
        "command": " ".join(["python -m benchmarks.apply", *sys.argv[1:]]),
        "machine": machine_facts,
        "reference": REFERENCE,
        "timed": TIMED,
        "rounds": options.rounds,
        "model_bytes": facts["bytes"],
        "copy_hash_seconds": round(copies[parent].median, 3),
        "copy_hash_seconds_by_round": copies[parent].rounded,
        "cases": [judged(entry, copies[parent]) for entry in cases],
        "peers": [
            entry.figures | peer.figures(copies[entry.pair.old]) for entry, peer in zip(patched, peers, strict=True)
        ],
        "peers_left_out": left_out,
    }


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.apply",
        description="Time the client's update of a model against a copy of it, and against other tools.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--json", type=Path, help="where to write the figures (None: standard output)")
    parser.add_argument("--tensors", type=int, default=16, help="tensors of the model")
    parser.add_argument("--tensor-mb", type=int, default=64, help="size of a tensor in MiB")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts")
    parser.add_argument("--folder", type=Path, help="where to put 4 GB for a while (None: the system's place for it)")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="measure no other tools")
    parser.add_argument("--patch-seconds", type=float, default=300, help="the longest that a peer may make a patch for")
    parser.add_argument("--patch-mb", type=int, default=8000, help="the most memory that it may take for that")
    return parser.parse_args()


def main() -> None:
    """Measure, write the report, and print a line for each case."""
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the files go
    with tempfile.TemporaryDirectory(prefix="apply-", dir=options.folder) as folder:
        result = measure(options, Path(folder))
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    if options.json:
        options.json.write_text(text)
    else:
        print(text, end="")
    for case in result["cases"]:
        verdict = "kept" if case["kept"] else "NOT KEPT"
        limits = f"{case['ratio']:.2f} x copy (limit {case['ratio_limit']}), {case['peak_mb']:.0f} MB (limit {PEAK_MB})"
        print(f"{case['name']}: {limits}: {verdict}", file=sys.stderr)


if __name__ == "__main__":
    main()
