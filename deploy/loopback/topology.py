"""What the topology is made of, as values: its folder, its ports, its processes, and what is written for them.

Nothing is started or written here.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from string import Template

from deploy.loopback.cluster import Cluster
from deploy.loopback.process import Process
from deploy.loopback.programs import NGINX, PROMETHEUS, located
from diffserver.settings import ROOT_FILE, TOKEN_FILE

DEPLOY = Path(__file__).parents[1]
DIFFSERVER = (sys.executable, "-m", "diffserver")
HOST = "127.0.0.1"
DRAIN_SECONDS = 6
"""Longer than connections that nginx keeps idle, so that none is left when the listener closes."""
SHUTDOWN_SECONDS = 30.0


@dataclass(frozen=True)
class Topology:
    """Everything in one folder; nginx listens on `port`, two replicas on the next two, Prometheus on the third."""

    folder: Path
    port: int = 8080

    @property
    def url(self) -> str:
        """Return where devices and operators find it."""
        return f"http://{HOST}:{self.port}"

    @property
    def home(self) -> Path:
        """Return the folder of the objects, the keys and the admin's token."""
        return self.folder / "home"

    @property
    def token_file(self) -> Path:
        """Return the file of the admin's token."""
        return self.home / TOKEN_FILE

    @property
    def root_file(self) -> Path:
        """Return the root that devices enrol with."""
        return self.home / ROOT_FILE

    @property
    def viewer_file(self) -> Path:
        """Return the file of the token that Prometheus shows."""
        return self.folder / "prometheus" / "tokens" / "viewer.token"

    @property
    def cluster(self) -> Cluster:
        """Return its database."""
        return Cluster(self.folder / "postgres")

    @property
    def environment(self) -> dict[str, str]:
        """Return what processes of diffserver's get."""
        return {
            "DIFFSERVER_HOME": str(self.home),
            "DIFFSERVER_DATABASE": self.cluster.url,
            "DIFFSERVER_OBJECTS": (self.home / "objects").as_uri(),
            "DIFFSERVER_DRAIN_SECONDS": str(DRAIN_SECONDS),
        }

    @property
    def addresses(self) -> tuple[str, str]:
        """Return where the replicas listen."""
        return f"{HOST}:{self.port + 1}", f"{HOST}:{self.port + 2}"

    @cached_property
    def replicas(self) -> tuple[Process, Process]:
        """Return the servers."""
        first, second = (
            self._own(f"server-{number}", "serve", "--no-worker", "--host", HOST, "--port", address.rpartition(":")[2])
            for number, address in enumerate(self.addresses, start=1)
        )
        return first, second

    @property
    def served(self) -> Iterable[tuple[Process, str]]:
        """Return each server with where it listens."""
        return zip(self.replicas, self.addresses, strict=True)

    @property
    def environment_file(self) -> Path:
        """Return the file that a shell reads, so that commands find this database and this server."""
        return self.folder / "environment"

    @cached_property
    def workers(self) -> tuple[Process, ...]:
        """Return the worker; none where torch is not installed."""
        return (self._own("worker", "worker"),) if find_spec("torch") else ()

    @cached_property
    def nginx(self) -> Process:
        """Return the proxy in front."""
        folder = self.folder / "nginx"
        files = ("-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf"))
        return Process("nginx", (located(NGINX), "-p", str(folder), *files, "-g", "daemon off;"), self.folder)

    @property
    def prometheus_url(self) -> str:
        """Return where Prometheus is, if it is installed."""
        return f"http://{HOST}:{self.port + 3}"

    @cached_property
    def monitors(self) -> tuple[Process, ...]:
        """Return Prometheus; nothing where it is not installed."""
        if PROMETHEUS.find() is None:
            return ()
        folder = self.folder / "prometheus"
        command = (
            located(PROMETHEUS),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={self.prometheus_url.partition('//')[2]}",
        )
        return (Process("prometheus", command, self.folder),)

    @property
    def processes(self) -> tuple[Process, ...]:
        """Return all but the database, in the order in which they start."""
        return (*self.replicas, *self.workers, self.nginx, *self.monitors)

    def _own(self, name: str, *words: str) -> Process:
        return Process(name, (*DIFFSERVER, *words), self.folder, self.environment, SHUTDOWN_SECONDS)


def configurations(topology: Topology) -> dict[str, str]:
    """Return the files that nginx, Prometheus and a shell read, by their path in the folder."""
    nginx = topology.folder / "nginx"
    first, second = topology.addresses
    front = {
        "LISTEN": f"{HOST}:{topology.port}",
        "REPLICA_1": first,
        "REPLICA_2": second,
        "CACHE": f"{nginx}/cache",
        # All of a trial's devices have one address.
        "RATE": "100000",
        "TOKEN_RATE": "100000",
        "CONNECTIONS": "10000",
    }
    around = {"FOLDER": str(nginx), "USER": "user www-data;" if os.getuid() == 0 else ""}
    shell = topology.environment | {"DIFFSERVER_URL": topology.url}
    return {
        topology.environment_file.name: "".join(f"export {name}={quote(value)}\n" for name, value in shell.items()),
        "nginx/nginx.conf": filled("loopback/nginx.conf.template", around),
        "nginx/diffserver.conf": filled("nginx/diffserver.conf.template", front),
        "prometheus/prometheus.yml": (DEPLOY / "prometheus" / "prometheus.yml").read_text(),
        "prometheus/replicas.json": json.dumps([{"targets": topology.addresses}]),
    }


def filled(path: str, values: Mapping[str, str]) -> str:
    """Return a template with these values in place of ${NAME}; nginx's own variables stay."""
    return Template((DEPLOY / path).read_text()).safe_substitute(values)
