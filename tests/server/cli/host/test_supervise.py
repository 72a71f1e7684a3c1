"""A child process under supervision: started again, told of, and never left behind."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from diffserver.cli.host import supervise
from diffserver.cli.host.supervise import Supervised
from diffserver.logs import make_log
from tests import waiting

CHILD = """
import os, sys, time
print(os.getpid(), file=open(sys.argv[1], "a"), flush=True)
from diffserver.cli.host.supervise import end_with_parent
end_with_parent()
time.sleep(60)
"""

PARENT = """
import sys, time
from diffserver.cli.host.supervise import Supervised
from diffserver.logs import make_log
with Supervised([sys.executable, "-c", sys.argv[1], sys.argv[2]], "child", make_log()):
    time.sleep(60)
"""


wait_for = partial(waiting.wait_for, seconds=30.0, pause=0.02)


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_a_child_that_ends_is_started_again_ever_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(supervise, "LONGEST_PAUSE", 0.2)
    stream = io.StringIO()
    with Supervised([sys.executable, "-c", "raise SystemExit(3)"], "child", make_log(stream)) as child:
        wait_for(lambda: stream.getvalue().count("\n") >= 4)
        assert "restarts" in child.state()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()][:4]
    assert [line["again_in"] for line in lines] == [0.05, 0.1, 0.2, 0.2]
    assert {line["cause"] for line in lines} == {"it ended with status 3"}


def test_a_child_that_cannot_be_started_is_told() -> None:
    with Supervised(["/no/such/program"], "child", make_log(io.StringIO())) as child:
        wait_for(lambda: "could not be started" in child.state())


def test_a_child_ends_with_the_block(tmp_path: Path) -> None:
    words = [sys.executable, "-c", CHILD, str(tmp_path / "pids")]
    with Supervised(words, "child", make_log(io.StringIO())) as child:
        wait_for(lambda: pids(tmp_path / "pids"))
        assert child.state() == "runs"
    (pid,) = pids(tmp_path / "pids")
    assert not exists(pid)


def test_a_child_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "GRACE_SECONDS", 0.5)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + CHILD
    with Supervised([sys.executable, "-c", deaf, str(tmp_path / "pids")], "child", make_log(io.StringIO())):
        wait_for(lambda: pids(tmp_path / "pids"))
    (pid,) = pids(tmp_path / "pids")
    assert not exists(pid)


def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD, str(tmp_path / "pids")])
    try:
        wait_for(lambda: pids(tmp_path / "pids"))
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    (pid,) = pids(tmp_path / "pids")
    # Where nobody reaps orphans it stays as a defunct process, which holds nothing.
    wait_for(lambda: not exists(pid) or "Z (zombie)" in Path(f"/proc/{pid}/status").read_text())
