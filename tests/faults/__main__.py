"""Test every fault point of the client over three updates in a row: python -m tests.faults

Print each point that a device did not survive, and at the end `N fault points, N survived`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.chain import acts
from tests.faults.points import recorded, tried
from tests.faults.site import serving
from tests.faults.trial import scratch

UPDATES = 3


def main() -> int:
    """Test all fault points; return the exit code."""
    total = survived = 0
    with tempfile.TemporaryDirectory(dir=scratch()) as name, serving(Path(name) / "server", UPDATES + 1) as site:
        device = Path(name) / "device"
        device.mkdir()
        for act in acts(site, UPDATES):
            began = time.monotonic()
            site.assign(act.target)
            run = recorded(site, act, device)
            flaws = dict(tried(run, os.cpu_count() or 1))
            disks = len(set().union(*run.lost.values()))
            total, survived = total + len(flaws), survived + sum(not flaw for flaw in flaws.values())
            for point, flaw in flaws.items():
                if flaw:
                    print(f"{point}: {flaw}")
            print(f"{act.name}: {len(run.lost)} operations, {len(flaws)} points, {disks} disks after power cuts, "
                  f"{time.monotonic() - began:.0f} s", flush=True)  # fmt: skip
    print(f"{total} fault points, {survived} survived")
    return 0 if total == survived else 1


if __name__ == "__main__":
    sys.exit(main())
