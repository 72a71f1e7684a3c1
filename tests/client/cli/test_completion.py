"""Completion: real shells are asked for what they would offer."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffclient.cli.completion import SHELLS
from diffclient.cli.main import main
from tests.shells import Shell, shell_with

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


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    return shell_with("diffclient", request.param, tmp_path)


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
def test_shells_offer_commands_options_and_choices(typed: list[str], offered: set[str], shell: Shell) -> None:
    words = " ".join(f"'{word}'" for word in ["diffclient", *typed])
    assert set(shell.run(ASKED[shell.name].format(words=words)).split()) == offered


def test_a_script_can_be_parsed(shell: Shell) -> None:
    shell.parse(shell.run(f"diffclient completion {shell.name}"))


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_names_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for command in ("enroll", "update", "rollback", "simulate", "full-fallback", "unmetered"):
        assert command in script
