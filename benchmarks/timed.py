"""Run one operation, a copy or an update, in this process alone, so that its peak memory can be measured.

Print a JSON object. The clock starts after the imports and stops when everything is synced and hashed.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from diffclient.diff.apply import apply
from diffclient.payload.decode import open_payload
from diffclient.tensors.snapshot import Snapshot

BUFFER = 1 << 20


def copy(parent: Path, out: Path) -> str:
    """Copy a file in plain Python, sync it, then read it back and hash it."""
    with parent.open("rb") as source, out.open("xb") as target:
        while data := source.read(BUFFER):
            target.write(data)
        target.flush()
        os.fsync(target.fileno())
    whole = hashlib.sha256()
    with out.open("rb") as file:
        while data := file.read(BUFFER):
            whole.update(data)
    return whole.hexdigest()


def update(parent: Path, out: Path, *steps: str) -> str:
    """Apply payloads as a device does; a step is a payload's path and its parent's digest, joined by '='."""
    snapshot, chain = Snapshot(parent), []
    for step in steps:
        path, _, digest = step.rpartition("=")
        chain.append(open_payload(Path(path).read_bytes(), snapshot.table, digest))
    return apply(snapshot, chain, out)


def main(operation: str, parent: str, out: str, *steps: str) -> None:
    """Run the operation `copy` or `update`, and print its seconds and the resulting digest."""
    function: Callable[..., str] = {"copy": copy, "update": update}[operation]
    start = time.perf_counter()
    digest = function(Path(parent), Path(out), *steps)
    print(json.dumps({"seconds": time.perf_counter() - start, "digest": digest}))


if __name__ == "__main__":
    main(*sys.argv[1:])
