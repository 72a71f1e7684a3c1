"""Compare the digests of several walks with those that the maker of the payloads expects.

usage: compare.py CHAIN WALK... [--json FILE]; exit status 1 if a digest differs
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

SHOWN = 16
"""Characters of a digest in the table; the JSON file has all of them."""


def main() -> None:
    """Print the table, write the JSON file if asked, and exit with the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("chain", type=Path)
    parser.add_argument("walks", type=Path, nargs="+")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    chain = json.loads(arguments.chain.read_text())
    walks = [json.loads(path.read_text()) for path in arguments.walks]
    verdicts = {
        version: all(walk["digests"].get(version) == promise for walk in walks)
        for version, promise in chain["digests"].items()
    }
    equal = all(verdicts.values())
    print_payloads(chain["payloads"])
    print_table(walks, verdicts)
    if arguments.json:
        result = {"equal": equal, "chain": chain, "walks": walks}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(0 if equal else 1)


def print_payloads(payloads: list[dict[str, Any]]) -> None:
    """Print a line for every payload: the part of the format that it covers."""
    for number, payload in enumerate(payloads, 1):
        factors = f"alpha {payload['alpha']:.5g}, beta {payload['beta']:.5g}"
        blocks = ", ".join(map(str, payload["block_sizes"]))
        print(f"payload {number}: {payload['kind']}, {factors}, blocks of {blocks}, {payload['bytes']:,} bytes")
    print()


def print_table(walks: list[dict[str, Any]], verdicts: dict[str, bool]) -> None:
    """Print a line for every version: each walk's digest, and whether it is the expected one."""
    print_row("version", [walk["architecture"] for walk in walks], "equal")
    for label in ("python", "numpy", "zstandard", "seconds"):
        print_row(label, [str(walk[label]) for walk in walks], "")
    for version, equal in verdicts.items():
        digests = [str(walk["digests"].get(version))[:SHOWN] for walk in walks]
        print_row(version, digests, "yes" if equal else "NO")


def print_row(first: str, cells: list[str], last: str) -> None:
    """Print one line of the table."""
    print(f"{first:<12}", *(f"{cell:<{SHOWN}}" for cell in cells), last, sep="  ")


if __name__ == "__main__":
    main()
