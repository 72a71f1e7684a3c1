"""Run the demo with the real server, worker, CLI and devices, each as a process of its own.

Train a base, then an update for each domain, publish each, let every device take it, and report. Every step is a
command as a person would type it; the work is left to the commands.
"""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from diffclient.store.store import Store
from diffclient.tensors.snapshot import Snapshot, fp32_bytes
from diffserver import __version__
from diffserver.choices.methods import DEFAULT, FULL
from diffserver.demo import render, report
from diffserver.demo.report import Report, Row
from diffserver.errors import DiffServerError
from diffserver.settings import ROOT_FILE, TOKEN_FILE
from diffserver.tasks import domain_folders

MODEL = "commands"
START_SECONDS = 180


class DemoError(DiffServerError):
    """A command of the demo that failed; its output has been shown."""


@dataclass(frozen=True)
class Plan:
    """The demo's options; `data` has a folder for each domain, by number, then by name: the base's first."""

    folder: Path
    data: Path
    task: str = "asr"
    method: str = DEFAULT
    budget: float = 0.02
    devices: int = 3
    updates: int = 5
    seed: int = 0


def run(plan: Plan) -> Report:
    """Run the demo and write its report into the plan's folder; raises DemoError."""
    domains = _domains(plan.data)
    base = _trained_base(plan, domains[0])
    home, devices = plan.folder / "server", plan.folder / "devices"
    for folder in (home, devices):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, home)
    _run("diffserver", "migrate", "--home", str(home), environment={})
    with serving(home) as server:
        server.operator("publish", "1")
        names = [f"device-{number}" for number in range(1, plan.devices + 1)]
        fleet = [_enroll(server, devices / name, name) for name in names]
        for device in fleet:
            device.run("update")
        rows = [_update(plan, server, fleet, domain) for domain in domains[1 : plan.updates + 1]]
    chain_report = Report(_model_bytes(fleet[0]), plan.method, plan.budget, rows)
    render.write(chain_report, plan.folder)
    return chain_report


@dataclass(frozen=True)
class Server:
    """A running server and an operator's access to it."""

    url: str
    token: str
    root: Path
    """The root of trust that devices enrol with."""

    def operator(self, *arguments: str) -> Any:
        """Run `diffserver … --json` and return what it prints; its progress is shown."""
        environment = {"DIFFSERVER_URL": self.url, "DIFFSERVER_TOKEN": self.token}
        return _run("diffserver", *arguments, environment=environment)


@dataclass(frozen=True)
class Device:
    """A simulated device: the real client with a folder of its own."""

    store: Path

    def run(self, *arguments: str) -> Any:
        """Run `diffclient … --json` and return what it prints."""
        return _run("diffclient", *arguments, "--store", str(self.store), environment={})


def _update(plan: Plan, server: Server, fleet: Sequence[Device], domain: str) -> Row:
    """Train the full chain's model and the diff, publish the diff, and let every device take it; return the row."""
    training = ["train", MODEL, "--data", str(plan.data), "--domain", domain, "--seed", str(plan.seed)]
    full = server.operator(*training, "--method", FULL)
    candidate = server.operator(*training, "--method", plan.method, "--budget", str(plan.budget))
    force = ["--force"] if candidate["refusals"] else []
    version = server.operator("publish", str(candidate["id"]), *force)
    outcomes = [device.run("update") for device in fleet]
    digests = {device.run("verify")["digest"] for device in fleet}
    return report.row(version, candidate, full, outcomes, digests == {version["digest"]})


def _enroll(server: Server, store: Path, name: str) -> Device:
    device = Device(store)
    credentials = ["--token", server.token, "--root", str(server.root)]
    device.run("enroll", server.url, *credentials, "--model", MODEL, "--name", name)
    return device


def _model_bytes(device: Device) -> int:
    store = Store(device.store)
    digest = store.state().digest
    if digest is None:
        raise DemoError(f"{device.store} holds no version", "see above")
    return fp32_bytes(Snapshot(store.weights(digest)).table)


def _domains(data: Path) -> list[str]:
    domains = [folder.name for folder in domain_folders.find_domains(data)]
    if len(domains) < 2:
        raise DemoError(
            f"{data} has {len(domains)} folders with train.jsonl and test.jsonl",
            "give a folder with one for the base and one for each update",
        )
    return domains


def _trained_base(plan: Plan, domain: str) -> Path:
    """Return the home of a server that has trained the base and published nothing; made once for the same data."""
    home = plan.folder / f"base-{_fingerprint(plan, domain)}"
    if home.exists():
        return home
    draft = home.with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    _run("diffserver", "init", "--home", str(draft), environment={})
    with serving(draft) as server:
        options = ["--data", str(plan.data), "--domain", domain, "--task", plan.task]
        server.operator("base", MODEL, *options, "--seed", str(plan.seed))
    return draft.rename(home)


def _fingerprint(plan: Plan, domain: str) -> str:
    manifests = [(plan.data / domain / name).read_bytes() for name in ("train.jsonl", "test.jsonl")]
    inputs = json.dumps([__version__, str(plan.data.resolve()), domain, plan.task, plan.seed]).encode()
    return hashlib.sha256(b"\0".join([inputs, *manifests])).hexdigest()[:12]


@contextmanager
def serving(home: Path, *options: str) -> Iterator[Server]:
    """Run `diffserver serve`, its worker beside it, on a free port; its log goes to the home."""
    port = free_port()
    command = [sys.executable, "-m", "diffserver", "serve", "--home", str(home), "--port", str(port), *options]
    with (home / "server.log").open("ab") as log:
        # Its own session, so that Ctrl-C does not end it before the command that it answers.
        child = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            server = Server(f"http://127.0.0.1:{port}", (home / TOKEN_FILE).read_text().strip(), home / ROOT_FILE)
            wait_until_ready(server.url, child, home / "server.log")
            yield server
        finally:
            child.terminate()
            child.wait()


def wait_until_ready(url: str, child: subprocess.Popen[bytes], log: Path) -> None:
    """Return once a server that was just started is ready; raises DemoError if it ends or takes too long."""
    deadline, reason = time.monotonic() + START_SECONDS, "it does not answer"
    while child.poll() is None and time.monotonic() < deadline:
        try:
            answer = httpx2.get(f"{url}/readyz")
            if answer.is_success:
                return
            reason = f"it answers {answer.status_code}: {answer.json().get('detail', '')}"
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    raise DemoError(f"the server did not start: {reason}", f"see {log}")


def free_port() -> int:
    """Return a port of this machine that is free at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _run(module: str, *arguments: str, environment: dict[str, str]) -> Any:
    command = [sys.executable, "-m", module, *arguments, "--json"]
    process = subprocess.run(command, stdout=subprocess.PIPE, env=os.environ | environment, check=False)
    if process.returncode:
        raise DemoError(f"`{module} {' '.join(arguments)}` ended with status {process.returncode}", "see above")
    return json.loads(process.stdout)
