"""The updater cut short: asked to stop, killed, or out of disk, at every stage."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from diffclient.errors import NoSpace, Stopped, StoreBusy, UpdateFailed
from diffclient.network.report import Stage
from diffclient.store.store import Store
from tests.client import scripted_server
from tests.client.conftest import Device, enrolled
from tests.client.lineage import CLASSIFIER, Lineage
from tests.client.scripted_server import ScriptedServer

ROOT = Path(__file__).parents[3]
STAGES: tuple[Stage, ...] = get_args(Stage)

# An update in a process of its own, which kills itself when it comes to a stage.
DOOMED = """
import os, signal, sys
from pathlib import Path
from diffclient.store.store import Store
from tests.client.conftest import Device
from tests.client.lineage import CLASSIFIER
def on_stage(stage):
    if stage == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
Device(Store(Path(sys.argv[1])), None, CLASSIFIER.score).updater(on_stage).update()
"""


@pytest.mark.parametrize("stage", STAGES)
def test_stopped_before_a_stage(device: Device, lineage: Lineage, stage: Stage) -> None:
    device.update()
    device.server.target = 2

    def stop(entered: Stage) -> None:
        if entered == stage:
            raise Stopped("enough")

    with pytest.raises(Stopped):
        device.updater(stop).update()
    assert device.digest() == lineage.digest(2 if stage == "report" else 0)
    assert device.update().action == ("none" if stage == "report" else "installed")
    assert device.digest() == lineage.digest(2)
    # Nothing that was stopped is a failure, and what was installed is reported once.
    assert [report["stage"] for report in device.server.reports] == ["installed", "installed"]


@pytest.mark.parametrize("stage", STAGES)
def test_killed_before_a_stage(device: Device, lineage: Lineage, stage: Stage) -> None:
    device.update()
    device.server.target = 2
    command = [sys.executable, "-c", DOOMED, str(device.store.root), stage]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert device.digest() == lineage.digest(2 if stage == "report" else 0)
    assert device.update().action == ("none" if stage == "report" else "installed")
    assert device.digest() == lineage.digest(2)
    slots = {path.name for path in (device.store.root / "slots").iterdir()}
    assert slots == {lineage.digest(0), lineage.digest(2)}
    assert [report["to_digest"] for report in device.server.reports][-1] == lineage.digest(2)


def test_killed_in_the_middle_of_a_download(device: Device, lineage: Lineage) -> None:
    """The next process asks for the rest, and only for that."""
    device.update()
    device.server.target = 1
    payload = lineage.diffs[0].payload
    until = threading.Event()
    device.server.fault(payload.sha256, scripted_server.stall(0.5, until))
    command = [sys.executable, "-m", "diffclient", "update", "--store", str(device.store.root)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    part = device.store.downloads / f"{payload.sha256}.part"
    while not (part.exists() and part.stat().st_size):
        assert process.poll() is None
    with pytest.raises(StoreBusy):  # meanwhile the store is that process's alone
        device.update()
    process.kill()
    process.wait()
    until.set()
    kept = part.stat().st_size
    device.server.heal()
    device.server.seen.clear()
    outcome = device.update()
    assert device.digest() == lineage.digest(1)
    [request] = [request for request in device.server.seen if "/v1/blobs/" in request.path]
    assert request.headers["range"] == f"bytes={kept}-"
    assert outcome.payload_bytes == payload.length - kept


@pytest.fixture
def cramped(tmp_path: Path, server: ScriptedServer) -> Iterator[Device]:
    """A device whose disk holds hardly more than two versions."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs privileges that this machine does not give")
    yield enrolled(Store(folder), server, CLASSIFIER.score)
    subprocess.run(["umount", "-l", str(folder)], check=True)


# Where nothing can be written any more from a stage on, the first stage that writes is the one that fails.
FULL = [
    ("trust", "trust"),
    ("download", "download"),
    ("decode", "apply"),
    ("apply", "apply"),
    ("digest", "switch"),
    ("probation", "switch"),
    ("switch", "switch"),
]


@pytest.mark.parametrize(("since", "noticed"), FULL)
def test_the_disk_is_full_since_a_stage(cramped: Device, lineage: Lineage, since: Stage, noticed: Stage) -> None:
    cramped.update()
    cramped.server.target = 1
    cramped.server.repository.publish()  # new metadata is written first of all
    filler = cramped.store.root / "filler"

    def fill(entered: Stage) -> None:
        if entered == since:
            fill_up(filler)

    with pytest.raises(UpdateFailed) as failed:
        cramped.updater(fill).update()
    assert (failed.value.stage, type(failed.value.cause)) == (noticed, NoSpace)
    assert cramped.digest() == lineage.digest(0)
    filler.unlink()
    assert cramped.update().action == "installed"
    assert cramped.digest() == lineage.digest(1)


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(512)):
            pass
