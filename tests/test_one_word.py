"""One word for one thing: help texts and documents use the glossary's words, and none of those that it replaces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from diffclient.cli import options
from diffclient.cli.main import _COMMANDS
from diffserver.main import app

ROOT = Path(__file__).parents[1]
NOT_USED = {
    r"(smart)?phones?|handsets?|gadgets?|endpoint devices?": "device",
    r"GPUs?|graphics cards?": "accelerator",
    r"administrators?|superusers?": "admin",
    r"artifacts?|artefacts?": "object",
    r"delta updates?|deltas? files?": "diff",
    r"release channels?|rings?|cohorts?": "channel, group or stage",
    r"staged deployments?|phased rollouts?": "rollout",
    r"training jobs?": "training",
    r"keyphrases?|api[ -]?keys?": "token",
    r"word-error-rate": "WER",
}
"""Words that are not used, as patterns, and the word of the glossary in their place."""

DOCUMENTS = sorted({ROOT / "README.md", ROOT / "client/README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")})


def helps(command: Any, path: str) -> Iterator[tuple[str, str]]:
    """What the help of a command and of all below it says, by the words that show it."""
    params = " ".join(f"{' '.join(param.opts)} {getattr(param, 'help', '') or ''}" for param in command.params)
    yield path, f"{command.help or ''} {params}"
    for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
        yield from helps(command.get_command(None, name), f"{path} {name}")


def texts() -> dict[str, str]:
    parser = options.parser(_COMMANDS)
    client = {f"diffclient {name}": one.format_help() for name, one in options.commands(parser).items()}
    documents = {str(path.relative_to(ROOT)): path.read_text() for path in DOCUMENTS}
    return documents | {"diffclient": parser.format_help()} | client | dict(helps(get_command(app), "diffserver"))


TEXTS = texts()


@pytest.mark.parametrize("place", TEXTS)
def test_the_words_of_the_glossary_are_used(place: str) -> None:
    prose = re.sub(r"\]\([^)]*\)", "]", TEXTS[place])
    found = {word[0]: right for wrong, right in NOT_USED.items() if (word := re.search(rf"(?i)\b({wrong})\b", prose))}
    assert found == {}


def test_the_walk_sees_both_programs() -> None:
    assert {"diffserver keys rotate", "diffclient update", "docs/glossary.md"} <= TEXTS.keys()
    assert "--accelerator" in TEXTS["diffserver train"]


@pytest.mark.parametrize("word", ["accelerator", "admin", "channel", "device", "diff", "rollout", "token", "training"])
def test_the_glossary_explains_the_word_that_is_used(word: str) -> None:
    assert re.search(rf"\*\*{word}\*\*|role viewer, publisher or {word}", (ROOT / "docs/glossary.md").read_text())
