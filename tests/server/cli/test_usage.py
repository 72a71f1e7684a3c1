"""What is typed wrongly: for each command and each option, the cause and the remedy, in the commands' own words."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from diffserver import main as program
from diffserver.main import app


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that lead to it, groups left out."""
    if not hasattr(command, "list_commands"):
        yield path, command
        return
    for name in command.list_commands(None):
        yield from commands(command.get_command(None, name), (*path, name))


COMMANDS = dict(commands(get_command(app)))


def has_type(param: Any) -> bool:
    return param.param_type_name == "option" and param.type_descriptor.annotation in (int, float)


def typed_options() -> Iterator[tuple[tuple[str, ...], str]]:
    """Every option that takes a number, with its command."""
    for path, command in COMMANDS.items():
        for param in command.params:
            if has_type(param):
                yield path, max(param.opts, key=len)


def refused(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["diffserver", *words])
    with pytest.raises(SystemExit) as left:
        program.main()
    said = capsys.readouterr()
    assert (left.value.code, said.out) == (2, "")
    assert re.fullmatch(r"error: .*\n  .*see: diffserver.* --help\n", said.err), said.err
    assert not re.search(r"Usage:|Error|Input should|parse|[┌╭│]", said.err)
    return said.err


def given(command: Any) -> list[str]:
    """Arguments that a command needs; what they say is not read before wrong options are found."""
    return ["1" for param in command.params if param.param_type_name == "argument" and param.required]


def test_the_walk_sees_the_commands() -> None:
    assert len(COMMANDS) > 60
    assert {("train",), ("keys", "rotate"), ("experiment", "chain")} <= COMMANDS.keys()
    assert (("train",), "--budget") in set(typed_options())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_an_unknown_option(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused([*path, *given(COMMANDS[path]), "--no-such-option"], monkeypatch, capsys)
    assert said.startswith("error: there is no option --no-such-option\n")
    assert said.endswith(f"see: diffserver {' '.join(path)} --help\n")


@pytest.mark.parametrize(("path", "option"), typed_options(), ids=str)
def test_a_value_of_the_wrong_type(
    path: tuple[str, ...], option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused([*path, *given(COMMANDS[path]), option, "no-such-value"], monkeypatch, capsys)
    assert re.match(rf"error: {option}: 'no-such-value' is no (whole )?number\n", said)


@pytest.mark.parametrize("path", [path for path, command in COMMANDS.items() if given(command)], ids=" ".join)
def test_a_missing_argument(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert " is missing\n" in refused([*path], monkeypatch, capsys)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["publsh", "1"], "there is no command 'publsh'\n  did you mean publish? see: diffserver --help"),
        (["keys", "rotat"], "there is no command 'rotat'\n  did you mean rotate? see: diffserver keys --help"),
        (["status", "--jsn"], "there is no option --jsn\n  did you mean --json? see: diffserver status --help"),
        (["status", "--server"], "--server needs a value\n  see: diffserver status --help"),
        (["keys", "rotate", "--json=1"], "--json takes no value\n  see: diffserver keys rotate --help"),
        (["status", "now"], "nothing is expected where now stands\n  see: diffserver status --help"),
        (
            ["token", "create", "enroll", "--uses", "0"],
            "--uses: 0 is less than 1\n  see: diffserver token create --help",
        ),
    ],
)
def test_the_cause_and_the_remedy(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(words, monkeypatch, capsys) == f"error: {said}\n"


@pytest.mark.parametrize("words", [[], ["keys"]], ids=["diffserver", "a group"])
def test_without_a_command_the_help_is_shown(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["diffserver", *words])
    with pytest.raises(SystemExit) as left:
        program.main()
    assert left.value.code == 2
    assert "Commands" in capsys.readouterr().out
