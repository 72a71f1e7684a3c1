"""README stays true: its tour runs as written, and make, `--help` or the API know every command."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from diffserver.app import create_app
from diffserver.demo.run import free_port
from diffserver.settings import Settings
from diffserver.storage import migrate
from diffserver.storage.database import connect

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def commands() -> Iterator[str]:
    """The lines that README shows after a `$` prompt, continuation lines joined."""
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        joined = block.replace("\\\n", " ")
        yield from (line[2:].strip() for line in joined.splitlines() if line.startswith("$ "))


def of(program: str) -> list[str]:
    """README's commands of one program, leading assignments dropped, those that fill a variable among them."""
    inside = (re.sub(r"^\w+=\$\((.*)\)$", r"\1", command) for command in commands())
    plain = (re.sub(r"^(\w+=\S*\s+)+", "", command).partition(" | ")[0] for command in inside)
    return sorted({command for command in plain if command.split()[:1] == [program]})


@cache
def help_of(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command, "--help"], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("command", of("make"))
def test_make_targets_exist(command: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in command.split()[1:]:
        name = word.partition("=")[0]
        assert re.search(rf"^{name}( \?=|:)", makefile, re.MULTILINE), word


@pytest.mark.parametrize("command", of("diffserver") + of("diffclient"))
def test_commands_and_their_options_are_in_the_help(command: str) -> None:
    words = shlex.split(command, comments=True)
    program, *rest = words
    subcommands = [rest[0]] if rest else []
    if rest[:1] in (["token"], ["rollouts"]):
        subcommands = rest[:2]
    shown = help_of(program, *subcommands)
    for option in (word.partition("=")[0] for word in rest if word.startswith("--")):
        assert option in shown, f"{option} is not an option of {program} {' '.join(subcommands)}"


@pytest.mark.parametrize("command", of("curl"))
def test_curl_asks_for_paths_that_the_api_has(command: str, tmp_path: Path) -> None:
    path = re.search(r"(/(?:v1|healthz|readyz|openapi)[^\s'\"?]*)", command)
    assert path, command
    settings = Settings.under(tmp_path)
    migrate.upgrade(connect(settings.database))
    known = create_app(settings).openapi()["paths"].keys() | {"/openapi.json"}
    patterns = [re.sub(r"\{[^}]+\}", "[^/]+", template) for template in known]
    assert any(re.fullmatch(pattern, path[1]) for pattern in patterns), path[1]


def tour() -> list[str]:
    """The commands of the tour that run in order, but for those that set PATH, which is another one here.

    Left out are rollouts, which take a day, the fleet on one machine, and what needs files of the reader's own.
    """
    section = README.partition("## A tour in five minutes")[2].partition("## Running it")[0]
    blocks = [block for block in section.split("```console\n")[1:] if "--stages" not in block]
    run = [line[2:] for block in blocks for line in block.partition("```")[0].splitlines() if line.startswith("$ ")]
    own = ("diffclient simulate", "--from-checkpoint", "--diff ", "export PATH")
    return [command for command in run if not any(mark in command for mark in own)]


@pytest.mark.slow
def test_the_tour_runs_as_written(tmp_path: Path) -> None:
    """In a new bash, in a folder with nothing but the examples, against a real server with its worker."""
    pytest.importorskip("torch", reason="the tour trains: pip install 'diffserver[train]'")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(sys.executable)
    for name in ("diffserver", "diffclient"):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {name} "$@"\n')
        (programs / name).chmod(0o755)
    port = free_port()
    environment = {
        "HOME": str(tmp_path),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "client")]),
        "OMP_NUM_THREADS": "1",  # beside other tests more threads only wait for each other
        "DIFFSERVER_PORT": str(port),
        "DIFFSERVER_URL": f"http://127.0.0.1:{port}",
    }
    lines = ["set -euo pipefail", "trap 'kill $(jobs -p); wait' EXIT", *tour()]
    script = "\n".join(lines).replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    done = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "now at version 1, error rate" in done.stdout
    assert "back to version 0" in done.stdout
    assert "Devices of gestures go to version 1" in done.stdout
    assert '"diffs"' in done.stdout or '"steps"' in done.stdout, "the poll over REST was answered"


def test_the_tour_is_not_empty() -> None:
    run = "\n".join(tour())
    for command in ("diffserver init", "diffclient enroll", "diffserver train", "diffclient rollback", "/v1/blobs/"):
        assert command in run


def test_readme_begins_with_the_two_commands() -> None:
    assert [command for command in commands() if command.startswith("make")][:2] == ["make demo", "make test"]


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", README))))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
