"""Walk a chain as a device does: apply its payloads one by one, then all of them in one pass; print the digests.

usage: walk.py FOLDER [--emulator TEXT], with FOLDER as `make.py` fills it
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zstandard

from diffclient.diff.apply import apply
from diffclient.payload.decode import Payload, open_payload
from diffclient.tensors.snapshot import Snapshot

WHOLE = "in one pass"
"""The name of the last version when it is reached from version 0 in one pass."""


def main() -> None:
    """Print, as JSON, the interpreter's environment and the digests that it computes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--emulator", help="what runs this interpreter, if not the processor itself")
    arguments = parser.parse_args()
    started = time.perf_counter()
    digests = walk(arguments.folder)
    seconds = round(time.perf_counter() - started, 1)
    facts = {**environment(), "emulator": arguments.emulator, "seconds": seconds}
    json.dump({**facts, "digests": digests}, sys.stdout, indent=2)


def environment() -> dict[str, str]:
    """Return the architecture and the versions of Python, numpy and zstandard."""
    return {
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "zstandard": zstandard.__version__,
        "libzstd": ".".join(map(str, zstandard.ZSTD_VERSION)),
    }


def walk(folder: Path) -> dict[str, str]:
    """Return the digest of every version, and of the last one reached in one pass from version 0."""
    version_0 = version = Snapshot(folder / "0.safetensors")
    steps = len(list(folder.glob("*.ndiff")))
    digests = {"0": version.digest()}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(1, steps + 1):
            out = Path(scratch, str(number))
            digests[str(number)] = apply(version, [payload(folder, version_0, number)], out)
            version = Snapshot(out)
        chain = [payload(folder, version_0, number) for number in range(1, steps + 1)]
        digests[WHOLE] = apply(version_0, chain, Path(scratch, "whole"))
    return digests


def payload(folder: Path, version_0: Snapshot, number: int) -> Payload:
    """Open the payload that leads to version `number`, with the parent digest that its maker recorded.

    With the digest computed here, a version that differs would end the walk instead of being reported.
    """
    parent = json.loads((folder / "chain.json").read_text())["digests"][str(number - 1)]
    return open_payload((folder / f"{number}.ndiff").read_bytes(), version_0.table, parent)


if __name__ == "__main__":
    main()
