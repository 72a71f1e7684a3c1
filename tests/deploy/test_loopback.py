"""`make up`: an update through nginx, a rolling restart and a killed server under load, and nothing left after."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from benchmarks.blobs import sent_by_servers
from deploy.loopback import control
from deploy.loopback.programs import NEEDED, PROMETHEUS, Failed
from deploy.loopback.topology import Topology
from tests.client.lineage import CLASSIFIER, MODEL, Lineage
from tests.deploy.load import polling
from tests.hostile.home_server import HomeServer, client, until
from tests.hostile.real_device import enrolled

MISSING = [program.package for program in NEEDED if program.find() is None]
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: apt-get install {' '.join(MISSING)}")


def asked(act: str, topology: Topology) -> str:
    """What an act of `make up` and its neighbours prints."""
    words = [act, "--folder", str(topology.folder), "--port", str(topology.port)]
    done = subprocess.run(
        [sys.executable, "-m", "deploy.loopback", *words], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def topology() -> Iterator[Topology]:
    """One that is up; its folder is short and open, as PostgreSQL's socket and user need it."""
    folder = Path(tempfile.mkdtemp(prefix="up-"))
    folder.chmod(0o755)
    made = Topology(folder, 20_000 + os.getpid() % 10_000)
    try:
        assert made.url in asked("up", made)
        yield made
    finally:
        control.down(made)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def home(topology: Topology, tmp_path_factory: pytest.TempPathFactory) -> HomeServer:
    """Its home, with two published versions."""
    lineage = Lineage(tmp_path_factory.mktemp("lineage"), CLASSIFIER).grow(2)
    served = HomeServer(topology.home, lineage, topology.environment, topology.token_file.read_text().strip())
    served.publish(0, 1)
    return served


@pytest.fixture(scope="module")
def operator(topology: Topology, home: HomeServer) -> Iterator[httpx2.Client]:
    with client(topology.url, home.operator) as made:
        yield made


@pytest.fixture(scope="module")
def device_token(operator: httpx2.Client) -> str:
    return str(operator.post("/v1/enroll", json={"model": MODEL, "name": "load"}).json()["token"])


def test_a_second_up_changes_nothing(topology: Topology) -> None:
    before = control.status(topology)
    asked("up", topology)
    assert control.status(topology) == before
    assert not [state for state in before.values() if not state.startswith("runs")]


def test_ports_of_others_are_not_taken_for_its_own(topology: Topology) -> None:
    other = Topology(topology.folder / "other", topology.port)
    try:
        with pytest.raises(Failed, match=f"port {topology.port + 1}, for server-1, is taken"):
            control.up(other)
        assert not [process.name for process in other.processes if process.pid]
    finally:
        control.down(other)


def test_commands_find_the_server_by_its_file(topology: Topology) -> None:
    words = f". {topology.environment_file} && {sys.executable} -m diffserver status --json"
    done = subprocess.run(["sh", "-c", words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(PROMETHEUS.find() is None, reason="not installed: apt-get install prometheus")
def test_prometheus_reads_both_servers(topology: Topology) -> None:
    def seen() -> set[str]:
        targets = httpx2.get(f"{topology.prometheus_url}/api/v1/targets").json()["data"]["activeTargets"]
        return {target["labels"]["instance"] for target in targets if target["health"] == "up"}

    until(lambda: seen() == set(topology.addresses), seconds=20)


def test_a_device_updates_through_nginx_which_fetches_each_blob_once(
    topology: Topology, home: HomeServer, operator: httpx2.Client
) -> None:
    devices = [enrolled(home, operator, name) for name in ("kitchen", "hall")]
    home.publish(2)
    for device in devices:
        device.update(operator)
    assert [device.number for device in devices] == [2, 2]
    cached = [path for path in (topology.folder / "nginx" / "cache").rglob("*") if path.is_file()]
    assert sent_by_servers(topology) == len(cached) > 2


def test_a_killed_server_costs_no_poll(topology: Topology, device_token: str) -> None:
    with polling(topology.url, device_token) as counts:
        killed = topology.replicas[0].pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
    assert topology.replicas[0].pid is None
    assert counts.keys() == {"200"}, counts
    asked("up", topology)
    assert topology.replicas[0].pid not in (None, killed)


def test_a_rolling_restart_costs_no_poll(topology: Topology, device_token: str) -> None:
    before = [process.pid for process in topology.replicas]
    with polling(topology.url, device_token) as counts:
        asked("restart", topology)
    assert not set(before) & {process.pid for process in topology.replicas}
    assert counts.keys() == {"200"}, counts


def test_nothing_is_left_after_down(topology: Topology) -> None:
    pids = [process.pid for process in topology.processes]
    asked("down", topology)
    assert None not in pids
    assert not [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]
    assert set(control.status(topology).values()) == {"is stopped"}
    assert list(topology.folder.glob("*.pid")) == []
    asked("down", topology)
