"""README stays true: every command in it is known to the Makefile, to `--help` or to the API."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from diffserver.app import create_app
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
    """README's commands of one program, leading assignments dropped."""
    plain = (re.sub(r"^(\w+=\S*\s+)+", "", command) for command in commands())
    return sorted({command for command in plain if command.split()[0] == program})


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


def test_readme_begins_with_the_two_commands() -> None:
    assert [command for command in commands() if command.startswith("make")][:2] == ["make demo", "make test"]


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", README))))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
