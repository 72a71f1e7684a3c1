"""Outages, one after the other: each of the parts is killed, is away for some seconds, and comes back.

What takes part in publishing is killed while that goes on, as far as it does.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

from benchmarks.outages.topology import StoredElsewhere
from deploy.loopback import control
from deploy.loopback.process import Process
from deploy.loopback.programs import Failed

AWAY_SECONDS = 4.0
"""How long what was killed is away."""

HANG_SECONDS = 8.0
"""How long the store takes connections and says nothing."""

PUBLISHED_WITHIN, INTO_IT = 10.0, 0.1
"""How long to wait for the next publishing to begin, and how far into it to kill at most."""


class Kills:
    """Servers, worker, database and object store, killed in turn; `counts` says how often each was.

    `publishing` is set while a version is being published. `faults` tells of what ended by itself or did not come back.
    """

    def __init__(self, topology: StoredElsewhere, publishing: threading.Event) -> None:
        self._topology, self._publishing = topology, publishing
        self.faults: list[str] = []
        first, second = topology.served
        turns: dict[str, Callable[[], None]] = {
            "server 1": lambda: self._server(*first),
            "worker": lambda: self._kill(topology.workers[0]),
            "database": self._database,
            "object store": lambda: self._kill(topology.forwarder),
            "server 2": lambda: self._server(*second),
            "object store hangs": self._hang,
        }
        self.counts = Counter(dict.fromkeys(turns, 0))
        self._turns = itertools.cycle(turns.items())

    def kill(self) -> None:
        """Kill the next one, and return when it is back."""
        name, act = next(self._turns)
        try:
            act()
        except (Failed, OSError) as failed:
            self.faults.append(f"{name}: {failed}")
        self.counts[name] += 1

    def _server(self, process: Process, address: str) -> None:
        self._wait_for_publishing()
        self._kill(process)
        control.wait_until_ready(process, f"http://{address}/readyz")

    def _database(self) -> None:
        """Stop the database as a power cut would, at once: pg_ctl takes a while to begin."""
        cluster = self._topology.cluster
        process = int((cluster.folder / "data" / "postmaster.pid").read_text().split()[0])
        self._wait_for_publishing()
        os.kill(process, signal.SIGQUIT)
        time.sleep(AWAY_SECONDS)
        cluster.start()

    def _hang(self) -> None:
        self._signal(self._topology.forwarder, signal.SIGSTOP)
        time.sleep(HANG_SECONDS)
        self._signal(self._topology.forwarder, signal.SIGCONT)

    def _kill(self, process: Process) -> None:
        self._signal(process, signal.SIGKILL)
        time.sleep(AWAY_SECONDS)
        process.start()

    def _signal(self, process: Process, number: signal.Signals) -> None:
        if (pid := process.pid) is None:
            self.faults.append(f"{process.name} had ended by itself: {process.log.read_text()[-500:]}")
        else:
            os.killpg(pid, number)

    def _wait_for_publishing(self) -> None:
        if self._publishing.wait(PUBLISHED_WITHIN):
            time.sleep(random.uniform(0, INTO_IT))
