"""Measure payload sizes against other tools on the same old and new weights: `python -m benchmarks.payload --help`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import bars, layouts, limits, machine, measure, nnc, peers, synthetic, tables, trained
from benchmarks.cases import Case
from diffclient.diff.streams import numbers

DENSITIES = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 70.0)
"""Per cent of the weights that change."""
ALL_PEERS_AT = 1.0
"""The density at which byte-level peers run at full size as well; at 70 % each takes minutes."""
SIDE = 2048
"""The side of the large case's tensors."""
EXAMPLE = """example:
  PEERS_PYTHON=/path/to/venv/bin/python python -m benchmarks.payload --json payload.json --plot payload.png

PEERS_PYTHON is a Python that has hdiffpatch and nncodec; without it those are left out, and the file says so.
"""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    start, missing = time.perf_counter(), _missing()
    machine_facts = machine.describe()
    figures = []
    with nnc.Codec() as codec:
        for case in cases(options):
            print(f"{time.perf_counter() - start:5.0f} s  {case.name}", file=sys.stderr)
            figures.append(measure.measure(case, missing, codec))
    results = bars.check(figures)
    print(tables.show(figures, results))
    report = {
        "command": " ".join(["python -m benchmarks.payload", *(sys.argv[1:] if arguments is None else arguments)]),
        "machine": machine_facts,
        "seconds": round(time.perf_counter() - start, 1),
        "peers": {peer.name: peer.settings for peer in peers.BYTE_LEVEL} | layouts.SETTINGS | {nnc.NAME: nnc.SETTINGS},
        "peers_left_out": missing,
        "bars": results,
        "cases": figures,
    }
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.plot:
        tables.plot(figures, options.plot)


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Yield every case, made one by one, since each takes much memory."""
    for density in options.densities:
        slow = {} if density == ALL_PEERS_AT else {peer.name: _slow(options.small_n) for peer in peers.BYTE_LEVEL}
        yield synthetic.uniform(f"synthetic {density:g} %", options.n, density / 100, slow)
    for density in options.densities:
        yield synthetic.uniform(f"all peers, {density:g} %", options.small_n, density / 100, {}, seed=11)
    for fixture in sorted(options.fixtures.glob("*.npz")):
        yield trained_case(fixture)
    changes = 25 * options.tensors
    yield synthetic.many_tensors(f"{options.tensors} tensors, {changes:,} changes", options.tensors, changes, {})
    yield synthetic.exact("exact F32, any bits, 1 %", np.float32, options.small_n, 0.01)
    yield synthetic.exact("exact F16, any bits, 1 %", np.float16, options.small_n, 0.01)
    yield synthetic.fine_tuned("exact F32, moved a little, 1 %", options.small_n, 0.01)
    if options.large:
        count = max(1, options.large // SIDE**2)
        yield synthetic.large(f"{count * SIDE**2 * 4 / 1e9:.2f} GB, 1 %", count, SIDE, 0.01)


def trained_case(path: Path) -> Case:
    """Return the case of a diff that the demo trained, with random weights for the parent's, which are not stored."""
    table, diff = trained.load(path)
    values = np.concatenate([numbers(stream) for stream in diff.streams if stream is not None])
    note = "trained by the demo; peers get seeded Gaussian weights on the same grids as old weights"
    weights = synthetic.stand_in(table)
    if diff.kind == "hashed":
        limit = limits.entropy(values) * len(values) / 8
        return Case(f"demo {path.stem}", table, diff, limit, weights, f"{note}; the limit is the buckets' entropy")
    n = sum(spec.size for spec in table)
    return Case(f"trained {path.stem}", table, diff, limits.uniform_limit(n, values), weights, note)


def _slow(small_n: int) -> str:
    return f"slow at this size: see the case of {small_n:,} weights, and the one of {ALL_PEERS_AT:g} %"


def _missing() -> dict[str, str]:
    """Return the peers that cannot run here, with the reason."""
    reasons: dict[str, Any] = {peer.name: peer.missing() for peer in peers.BYTE_LEVEL} | {nnc.NAME: nnc.missing()}
    return {name: reason for name, reason in reasons.items() if reason}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.payload",
        description=__doc__.partition(":")[0] + ".",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw bytes a changed weight against density here")
    parser.add_argument("--n", type=int, default=10_000_000, help="weights of the synthetic cases (%(default)s)")
    parser.add_argument("--small-n", type=int, default=1_000_000, help="weights where all peers run (%(default)s)")
    parser.add_argument(
        "--densities", type=float, nargs="*", default=list(DENSITIES), metavar="%", help="per cent that change"
    )
    parser.add_argument(
        "--large", type=int, default=1 << 28, metavar="N", help="weights of the large case, 0 for none (%(default)s)"
    )
    parser.add_argument(
        "--tensors", type=int, default=200, help="tensors of the case with 25 changes in each (%(default)s)"
    )
    parser.add_argument(
        "--fixtures", type=Path, default=trained.FIXTURES, metavar="FOLDER", help="trained diffs (the project's own)"
    )
    return parser


if __name__ == "__main__":
    main()
