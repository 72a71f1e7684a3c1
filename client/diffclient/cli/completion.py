"""Scripts by which shells complete commands, options and their choices, made of the parser itself."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator, Mapping

Commands = Mapping[str, argparse.ArgumentParser]

BASH = """\
_diffclient() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        COMPREPLY=( $(compgen -W "{commands} --help --version" -- "$word") )
        return
    fi
    case "${{COMP_WORDS[1]}} $before" in
{values}
    esac
    case "${{COMP_WORDS[1]}}" in
{options}
    esac
}}
complete -o default -F _diffclient diffclient
"""
ZSH = """\
#compdef diffclient
_diffclient() {{
    local before=${{words[CURRENT-1]}}
    if [ "$CURRENT" = 2 ]; then
        compadd -- {commands} --help --version
        return
    fi
    case "${{words[2]}} $before" in
{values}
    esac
    case "${{words[2]}}" in
{options}
    esac
    _files
}}
compdef _diffclient diffclient
"""


def bash(commands: Commands) -> str:
    """Return the script for bash; where a value is expected, it completes names of files."""
    return BASH.format(
        commands=" ".join(commands),
        values="\n".join(
            f'        "{command} {option}") '
            + (f'COMPREPLY=( $(compgen -W "{" ".join(choices)}" -- "$word") ); ' if choices else "")
            + "return ;;"
            for command, option, choices in _values(commands)
        ),
        options="\n".join(
            f'        {command}) COMPREPLY=( $(compgen -W "{" ".join(_words(parser))}" -- "$word") ) ;;'
            for command, parser in commands.items()
        ),
    )


def zsh(commands: Commands) -> str:
    """Return the script for zsh."""

    def offer(choices: list[str]) -> str:
        return f"compadd -- {' '.join(choices)}" if choices else "_files"

    return ZSH.format(
        commands=" ".join(commands),
        values="\n".join(
            f'        "{command} {option}") {offer(choices)}; return ;;'
            for command, option, choices in _values(commands)
        ),
        options="\n".join(
            f"        {name}) compadd -- {' '.join(_words(parser))} ;;" for name, parser in commands.items()
        ),
    )


def fish(commands: Commands) -> str:
    """Return the script for fish."""
    lines = [f"complete -c diffclient -n __fish_use_subcommand -fa {name}" for name in commands]
    for command, parser in commands.items():
        seen = f"complete -c diffclient -n '__fish_seen_subcommand_from {command}'"
        for action in parser._actions:
            for option in (one for one in action.option_strings if one.startswith("--")):
                needs = f" -xa {shlex.quote(' '.join(action.choices))}" if action.choices else " -r"
                about = shlex.quote((action.help or "").partition(";")[0].replace("%(default)s", "…"))
                lines.append(f"{seen} -l {option[2:]}{needs if action.nargs != 0 else ''} -d {about}")
            if not action.option_strings and action.choices:
                lines.append(f"{seen} -fa {shlex.quote(' '.join(action.choices))}")
    return "\n".join(lines) + "\n"


SHELLS: Mapping[str, Callable[[Commands], str]] = {"bash": bash, "zsh": zsh, "fish": fish}


def _words(parser: argparse.ArgumentParser) -> list[str]:
    """Return what may stand anywhere after a command: its options, and the choices of what it is given."""
    given = [choice for action in parser._actions if not action.option_strings for choice in action.choices or ()]
    return [*given, *(option for option in parser._option_string_actions if option.startswith("--"))]


def _values(commands: Commands) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each option that takes a value, with its command and its choices."""
    for command, parser in commands.items():
        for option, action in parser._option_string_actions.items():
            if action.nargs != 0 and option.startswith("--"):
                yield command, option, [*(action.choices or ())]
