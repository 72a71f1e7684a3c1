"""What is typed wrongly: for each command and each option, one line with the cause and where the right way is told."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

import pytest

from diffclient import __version__
from diffclient.cli import options
from diffclient.cli.main import _COMMANDS, main

PARSERS = options.commands(options.parser(_COMMANDS))


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert (left.value.code, capsys.readouterr().out) == (0, f"diffclient {__version__}\n")


def typed_options() -> Iterator[tuple[str, str]]:
    """Every option with a type or with choices that an invented word cannot be."""
    for command, parser in PARSERS.items():
        for option, action in parser._option_string_actions.items():
            if action.choices or (action.type and "Path" not in repr(action.type)):
                yield command, option


def required(parser: argparse.ArgumentParser) -> list[str]:
    """What else has to be given, valid or not: a wrong value is found first where it stands first."""
    return ["x" for action in parser._actions if not action.option_strings and action.nargs != "?"]


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        main(words)
    said = capsys.readouterr()
    assert (left.value.code, said.out) == (2, "")
    assert re.fullmatch(r"diffclient: .*; .*see: diffclient.* --help\n", said.err), said.err
    assert not re.search(r"invalid _?\w+ value|unrecognized|usage:", said.err)
    return said.err


@pytest.mark.parametrize("command", PARSERS)
def test_an_unknown_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = [word for action in PARSERS[command]._actions if action.required for word in example(action)]
    said = refused([command, *given, "--no-such-option"], capsys)
    assert f"there is no option --no-such-option; see: diffclient {command} --help" in said


def example(action: argparse.Action) -> list[str]:
    value = next(iter(action.choices)) if action.choices else "1"
    return [*action.option_strings[:1], value]


@pytest.mark.parametrize(("command", "option"), typed_options())
def test_a_value_of_the_wrong_type(command: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused([command, option, "no\x07such value"], capsys)
    assert said.startswith(f"diffclient: {option}: ")


@pytest.mark.parametrize("command", [name for name, parser in PARSERS.items() if required(parser)])
def test_a_missing_argument(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "missing: " in refused([command], capsys)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "a command is missing; see: diffclient --help"),
        (["updaet"], "there is no command 'updaet'; did you mean update? see: diffclient --help"),
        (["update", "--forse"], "there is no option --forse; did you mean --force? see: diffclient update --help"),
        (["update", "now"], "nothing is expected where 'now' stands; see: diffclient update --help"),
        (["update", "--max-bytes"], "--max-bytes needs a value; see: diffclient update --help"),
        (["update", "--max-bytes", "-1"], "--max-bytes: -1 is negative; see: diffclient update --help"),
        (["status", "--json=1"], "--json takes no value; see: diffclient status --help"),
    ],
)
def test_the_cause_and_the_remedy(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(words, capsys) == f"diffclient: {said}\n"
