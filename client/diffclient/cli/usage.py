"""A parser that says what was typed wrongly as other errors are told: one line with the cause and the remedy."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NoReturn

from diffclient.cli import output

STATUS = 2

_WORDS = (
    (r"^the following arguments are required: COMMAND$", r"a command is missing"),
    (r"^the following arguments are required: (.*)$", r"missing: \1"),
    (r"^argument (\S+): expected one argument$", r"\1 needs a value"),
    (r"^argument (\S+): ignored explicit argument .*$", r"\1 takes no value"),
    (r"^argument (\S+): invalid choice: (.*?) \(choose from (.*)\)$", r"\1: \2 is none of \3"),
    (r"^argument (\S+): invalid \w+ value: (.*)$", r"\1: \2 is no number"),
    (r"^argument (\S+): (.*)$", r"\1: \2"),
)
"""What argparse says, as a pattern, and what is said here."""


class Parser(argparse.ArgumentParser):
    """argparse's parser, but for what it says of errors; its commands' parsers are of the same kind."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        """Parse what was typed; what no command knows is refused by the command that was named."""
        arguments, left = self.parse_known_args(args, namespace)
        if left:
            parser: Parser = getattr(arguments, "parser", self)
            parser.refuse(left[0])
        return arguments

    def refuse(self, word: str) -> NoReturn:
        """Say that a word is not known, and what may have been meant."""
        option = word.partition("=")[0]
        if not option.startswith("-"):
            self._end(f"nothing is expected where {word!r} stands")
        near = get_close_matches(option, self._option_string_actions, 1)
        self._end(f"there is no option {option}", *near)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end with status 2."""
        if unknown := re.match(r"argument COMMAND: invalid choice: '(.*?)' \(choose from (.*)\)$", message, re.DOTALL):
            near = get_close_matches(unknown[1], re.split(r"[', ]+", unknown[2]), 1)
            self._end(f"there is no command {unknown[1]!r}", *near)
        for pattern, words in _WORDS:
            if re.match(pattern, message, re.DOTALL):
                message = re.sub(pattern, words, message, flags=re.DOTALL)
                break
        self._end(message)

    def _end(self, cause: str, near: str = "") -> NoReturn:
        meant = f"did you mean {near}? " if near else ""
        output.print_error(f"diffclient: {cause}; {meant}see: {self.prog} --help")
        self.exit(STATUS)
