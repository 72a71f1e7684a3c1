"""Progress of long work where no terminal is: plain lines now and then, and none for what is short."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from diffclient.cli.pace import Pace
from diffserver.cli.progress import bars

MOVES = """
import sys
from diffserver.cli.progress import progress_bar
with progress_bar("corpus") as move:
    for step in range(5):
        move(step / 5, f"corpus \\x1b[31m{step} [bold]")
"""


def moved(every: float, capsys: pytest.CaptureFixture[str]) -> list[str]:
    now = [0.0]
    with bars(Pace(every, lambda: now[0])) as shown:
        bar, weights = shown.add("training 3: waits"), shown.add("fetches", 4e6, "bytes")
        for step in range(11):
            now[0] = float(step)
            bar.move(step / 10, f"training 3: step {step}\n of 10")
        now[0] = 20.0
        weights.advance(1e6)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_a_plain_line_comes_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    assert moved(5, capsys) == [
        "training 3: step 5 of 10: 50%",
        "training 3: step 10 of 10: 100%",
        "fetches: 1.0 of 4.0 MB",
        "fetches: done after 20 s",
    ]


def test_what_is_short_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert moved(60, capsys) == []


def test_on_a_terminal_bars_move_and_text_stays_text() -> None:
    main_end, terminal = pty.openpty()
    subprocess.run([sys.executable, "-c", MOVES], stderr=terminal, check=True, env={**os.environ, "TERM": "xterm"})
    os.close(terminal)
    shown = os.read(main_end, 1 << 16).decode()
    os.close(main_end)
    assert "corpus" in shown
    assert "100%" in shown
    assert "\x1b[31m" not in shown
