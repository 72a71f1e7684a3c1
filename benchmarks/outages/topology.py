"""The topology of `make up`, with its objects in S3 behind a forwarder.

The store is moto's, which holds objects in memory: killed, it would lose them, which no store that people pay for does.
So what is killed is the way to it, and what is stopped for a while, too: for the servers that is a store which breaks
off and refuses, and one which hangs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from deploy.loopback import control
from deploy.loopback.process import Process
from deploy.loopback.topology import HOST, Topology
from diffserver.demo.run import free_port
from tests.hostile.with_workers import ROOT
from tests.server import s3_server

MODEL, TASK = "gestures", ROOT / "examples" / "gestures" / "gestures.py"
NO_LIMIT = "1000000"


@dataclass(frozen=True)
class StoredElsewhere(Topology):
    """The topology with its objects in the store that listens on `store`, and devices that poll so often."""

    store: int = 0
    poll_seconds: int = 4

    @property
    def forwarded(self) -> int:
        """Return the port of the forwarder."""
        return self.port + 4

    @property
    def environment(self) -> dict[str, str]:
        """Return what processes of diffserver's get."""
        of_store = s3_server.environment(f"http://{HOST}:{self.forwarded}")
        return {
            **super().environment,
            **of_store,
            "DIFFSERVER_OBJECTS": f"s3://{s3_server.BUCKET}",
            "DIFFSERVER_POLL_SECONDS": str(self.poll_seconds),
            "DIFFSERVER_LEASE_SECONDS": "10",
            "DIFFSERVER_SAVE_SECONDS": "2",
            "DIFFSERVER_TASK_FILES": str(TASK),
            # These devices report as much in ten minutes as others in months.
            "DIFFSERVER_REPORTS_PER_HOUR": NO_LIMIT,
            "DIFFSERVER_REPORTS_PER_DAY": NO_LIMIT,
        }

    @cached_property
    def forwarder(self) -> Process:
        """Return the way to the store."""
        words = (sys.executable, "-m", "benchmarks.outages.forwarder", str(self.forwarded), str(self.store))
        return Process("forwarder", words, self.folder)

    @cached_property
    def monitors(self) -> tuple[Process, ...]:
        """Return nothing: nobody looks at pictures here."""
        return ()


@contextmanager
def running(poll_seconds: int) -> Iterator[StoredElsewhere]:
    """Run it for as long as the block lasts, in a folder that is gone after it."""
    with TemporaryDirectory(prefix="out-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL's user and nginx's go in there
        with s3_server.s3_server(folder / "s3.log") as url:
            made = StoredElsewhere(folder, _free_ports(), int(url.rpartition(":")[2]), poll_seconds)
            try:
                made.forwarder.start()
                control.up(made)
                yield made
            finally:
                control.down(made)
                made.forwarder.stop()


def _free_ports() -> int:
    """Return the first of a few ports that are free together, in all likelihood."""
    return min(free_port(), 60_000)
