"""Completion: real shells are asked for what they would offer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from diffclient.cli.completion import SHELLS
from diffclient.cli.main import main

ROOT = Path(__file__).parents[3]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which `diffclient` is this checkout's."""
    program = tmp_path / "diffclient"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m diffclient "$@"\n')
    program.chmod(0o755)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "client")])
    return {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": paths}


ASKED = {
    "bash": """
        eval "$(diffclient completion bash)"
        complete -p diffclient >/dev/null || exit 3
        COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _diffclient
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """,
    # What zsh has while it completes; compadd itself works then only.
    "zsh": """
        autoload -U compinit && compinit -u -D
        eval "$(diffclient completion zsh)"
        [ "$_comps[diffclient]" = _diffclient ] || exit 3
        words=({words}); CURRENT=$#words
        compadd() {{ shift; print -l -- ${{(M)@:#$words[CURRENT]*}}; }}
        _files() {{ }}
        _diffclient
    """,
    "fish": """
        diffclient completion fish | source
        set words {words}
        complete -C "$words" | cut -f 1
    """,
}
"""By a shell: how it is asked what it would offer for the last word."""
BARE = {"bash": "--norc", "zsh": "-f", "fish": "--no-config"}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["sta"], {"status"}),
        (["status", "--"], {"--store", "--json", "--help"}),
        (["update", "--full-fallback", ""], {"never", "unmetered", "always"}),
        (["update", "--detail"], {"--detailed-exit-code"}),
        (["completion", "z"], {"zsh"}),
        (["update", "--store", ""], set()),
    ],
)
def test_shells_offer_commands_options_and_choices(
    typed: list[str], offered: set[str], shell: str, environment: dict[str, str], tmp_path: Path
) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed: apt-get install {shell}")
    (empty := tmp_path / "empty").mkdir()
    words = " ".join(f"'{word}'" for word in ["diffclient", *typed])
    done = subprocess.run(
        [shell, BARE[shell], "-c", ASKED[shell].format(words=words)],
        env={**environment, "HOME": str(tmp_path)},
        cwd=empty,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == offered


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_names_every_command_and_can_be_parsed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for command in ("enroll", "update", "rollback", "simulate", "full-fallback", "unmetered"):
        assert command in script
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed: its syntax is not checked")
    check = ["--no-execute"] if shell == "fish" else ["-n"]
    subprocess.run([shell, *check], input=script, text=True, check=True)
