"""Completion: real shells are asked for what they would offer, with the script that the program shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ASKED = {
    "bash": """
        eval "$(diffserver --show-completion)"
        complete -p diffserver >/dev/null || exit 3
        COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _diffserver_completion diffserver
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """,
    # What zsh has while it completes; _arguments itself works then only.
    "zsh": """
        autoload -U compinit && compinit -u -D
        eval "$(diffserver --show-completion)"
        [ "$_comps[diffserver]" = _diffserver_completion ] || exit 3
        words=({words}); CURRENT=$#words
        _arguments() {{ print -r -- "$@" | grep -oP '\\("\\K[a-z-]+' }}
        _diffserver_completion
    """,
    "fish": """
        diffserver --show-completion | source
        complete -C "{words}" | cut -f 1
    """,
}
"""By a shell: how it is asked what it would offer for the last word."""
BARE = {"bash": "--norc", "zsh": "-f", "fish": "--no-config"}


@pytest.fixture(params=ASKED)
def shell(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    return name


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which `diffserver` is this checkout's."""
    program = tmp_path / "diffserver"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m diffserver "$@"\n')
    program.chmod(0o755)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "client")])
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": paths, "HOME": str(tmp_path)}


def run(shell: str, script: str, environment: dict[str, str]) -> str:
    done = subprocess.run([shell, BARE[shell], "-c", script], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    ("typed", "offered"), [("pub", "publish"), ("keys rot", "rotate"), ("train m --budg", "--budget")], ids=str
)
def test_shells_offer_commands_and_options(typed: str, offered: str, shell: str, environment: dict[str, str]) -> None:
    said = run(shell, ASKED[shell].format(words=f"diffserver {typed}"), environment)
    assert {line.split()[0] for line in said.splitlines() if line} == {offered}


def test_a_script_can_be_parsed(shell: str, environment: dict[str, str]) -> None:
    script = run(shell, "diffserver --show-completion", environment)
    assert "_DIFFSERVER_COMPLETE" in script
    check = "--no-execute" if shell == "fish" else "-n"
    subprocess.run([shell, check], input=script, text=True, check=True)
