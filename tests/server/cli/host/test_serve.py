"""`diffserver serve` as a process: what it starts ends with it, however it is told to."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the worker beside the server needs torch")

if not Path("/proc/self/task").exists():
    pytest.skip("finding a process's children needs Linux's /proc", allow_module_level=True)

from diffserver.demo.run import free_port, wait_until_ready

LIMIT_SECONDS = 30


def children(pid: int) -> list[int]:
    """The process's children, as Linux tells, of all its threads."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for thread in threads for word in thread.read_text().split()]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_worker_ends_with_the_server(tmp_path: Path, stop: signal.Signals) -> None:
    run = [sys.executable, "-m", "diffserver"]
    subprocess.run([*run, "init", "--home", str(tmp_path)], check=True, capture_output=True)
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([*run, "serve", "--home", str(tmp_path), "--port", str(port)], stdout=log, stderr=log)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", server, tmp_path / "log")
        (worker,) = children(server.pid)
        while b"worker starts" not in (tmp_path / "log").read_bytes():
            time.sleep(0.1)
        server.send_signal(stop)
        server.wait(LIMIT_SECONDS)
        assert not Path(f"/proc/{worker}").exists()
    finally:
        server.kill()
