"""Bring the topology up and down, restart its servers one after the other, and tell how it is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from deploy.loopback import programs
from deploy.loopback.process import Process
from deploy.loopback.programs import Failed
from deploy.loopback.topology import DIFFSERVER, Topology, configurations
from diffclient.durable import PRIVATE, create_file

READY_SECONDS, LOOK_SECONDS = 60.0, 0.1


def up(topology: Topology) -> None:
    """Start what does not run yet, and return when all of it answers; raises Missing, Failed."""
    programs.require()
    topology.folder.mkdir(parents=True, exist_ok=True)
    topology.cluster.make()
    topology.cluster.start()
    _command(topology, "init")
    _configure(topology)
    replicas = [(process, f"http://{address}/readyz") for process, address in topology.served]
    for process, url in replicas:
        _start(process, url)
    for process in topology.workers:
        process.start()
    for process, url in replicas:
        wait_until_ready(process, url)
    fronts = [(topology.nginx, f"{topology.url}/readyz")]
    for process, url in fronts + [(process, f"{topology.prometheus_url}/-/ready") for process in topology.monitors]:
        _start(process, url)
        wait_until_ready(process, url)


def down(topology: Topology) -> None:
    """Stop all of it, in order; what is stored stays."""
    for process in (*topology.monitors, topology.nginx, *topology.workers):
        process.stop()
    for process in topology.replicas:
        process.stop(signal.SIGINT)  # without the drain that SIGTERM begins: nobody asks any more
    topology.cluster.stop("fast")


def restart(topology: Topology) -> None:
    """Restart the servers, each when the one before is ready again, so that one of them always answers."""
    for process, address in topology.served:
        process.stop()
        process.start()
        wait_until_ready(process, f"http://{address}/readyz")
    for process in topology.workers:
        process.stop()
        process.start()


def status(topology: Topology) -> dict[str, str]:
    """Return by name what runs, with its process's id, and what does not."""
    database = {"database": "runs" if topology.cluster.runs else "is stopped"}
    return database | {each.name: f"runs as {each.pid}" if each.pid else "is stopped" for each in topology.processes}


def wait_until_ready(process: Process, url: str) -> None:
    """Return once a process that was started answers there; raises Failed if it ends or takes too long."""
    end = time.monotonic() + READY_SECONDS
    while process.pid is not None and time.monotonic() < end:
        if _answers(url):
            return
        time.sleep(LOOK_SECONDS)
    raise Failed(f"{process.name} is not ready; see {process.log}")


def _start(process: Process, url: str) -> None:
    """Start a process that shall answer there, unless it runs; raises Failed if another one listens there."""
    place = urlsplit(url)
    with socket.socket() as probe:
        if process.pid is None and not probe.connect_ex((place.hostname, place.port)):
            raise Failed(f"port {place.port}, for {process.name}, is taken: choose another PORT, or stop what listens")
    process.start()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _configure(topology: Topology) -> None:
    for path, text in configurations(topology).items():
        file = topology.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    if topology.monitors and not topology.viewer_file.exists():
        topology.viewer_file.parent.mkdir(exist_ok=True)
        secret = _command(topology, "token", "create", "viewer", "--name", "prometheus")
        create_file(topology.viewer_file, secret.encode(), PRIVATE)


def _command(topology: Topology, *words: str) -> str:
    """Run a command of diffserver's to its end; returns what it prints."""
    environment = os.environ | topology.environment
    done = subprocess.run([*DIFFSERVER, *words], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"`diffserver {' '.join(words)}` ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout
