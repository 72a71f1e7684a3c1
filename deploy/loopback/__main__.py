"""`python -m deploy.loopback up|down|restart|status`, which `make up` and its neighbours call."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.loopback import control
from deploy.loopback.programs import PROMETHEUS, Failed, Missing
from deploy.loopback.topology import Topology


def main() -> int:
    """Do what is asked; returns the process's status."""
    options = _parser().parse_args()
    topology = Topology(options.folder.absolute(), options.port)
    try:
        print(ACTS[options.act](topology))
    except (Missing, Failed) as error:
        print(f"error: {error}\n`make status` shows what runs, `make down` stops it.", file=sys.stderr)
        return 1
    return 0


def _up(topology: Topology) -> str:
    control.up(topology)
    watched = topology.prometheus_url if topology.monitors else f"not installed (apt-get install {PROMETHEUS.package})"
    return "\n".join(
        [
            f"diffserver:    {topology.url}, with two replicas behind nginx",
            f"Admin's token: {topology.token_file}",
            f"Root:          {topology.root_file}, which devices enrol with",
            f"Commands:      after `. {topology.environment_file}` they find this server",
            f"Prometheus:    {watched}",
            f"Logs:          {topology.folder}/*.log",
            "Stop with:     make down",
        ]
    )


def _down(topology: Topology) -> str:
    control.down(topology)
    return f"All is stopped. What was stored is in {topology.folder}; remove that folder to begin anew."


def _restart(topology: Topology) -> str:
    control.restart(topology)
    return "Each server was restarted, one after the other."


def _status(topology: Topology) -> str:
    return "\n".join(f"{name:12} {state}" for name, state in control.status(topology).items())


ACTS: Mapping[str, Callable[[Topology], str]] = {"up": _up, "down": _down, "restart": _restart, "status": _status}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.loopback",
        description="PostgreSQL, two servers, a worker, nginx and Prometheus on this machine's loopback.",
        epilog="Example: python -m deploy.loopback up --folder build/up --port 8080",
    )
    parser.add_argument("act", choices=sorted(ACTS))
    parser.add_argument("--folder", type=Path, default=Path("build/up"), help="where all of it lies [build/up]")
    parser.add_argument("--port", type=int, default=8080, help="nginx's; the next three are used too [8080]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
