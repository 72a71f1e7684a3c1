"""Completion: real shells are asked for what they would offer, with the script that the program shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shells import Shell, shell_with

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


@pytest.fixture(params=ASKED)
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    return shell_with("diffserver", request.param, tmp_path)


@pytest.mark.parametrize(
    ("typed", "offered"), [("pub", "publish"), ("keys rot", "rotate"), ("train m --budg", "--budget")], ids=str
)
def test_shells_offer_commands_and_options(typed: str, offered: str, shell: Shell) -> None:
    said = shell.run(ASKED[shell.name].format(words=f"diffserver {typed}"))
    assert {line.split()[0] for line in said.splitlines() if line} == {offered}


def test_a_script_can_be_parsed(shell: Shell) -> None:
    script = shell.run("diffserver --show-completion || exit 3")  # so that the shell is there to be asked for its name
    assert "_DIFFSERVER_COMPLETE" in script
    shell.parse(script)
