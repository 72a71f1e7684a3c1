"""What was typed wrongly, told as other errors are: the cause, and where the right way is told.

The framework finds it; its exceptions are told apart by what they carry, since it does not export their classes.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import typer
from typer.main import get_command

from diffserver.errors import DiffServerError

STATUS = 2
"""The exit status of what was typed wrongly; other errors have 1."""

_SAID = (
    (r"^Option '?(\S+?)'? requires an argument\.?$", r"\1 needs a value"),
    (r"^Option '?(\S+?)'? requires (\d+) arguments\.?$", r"\1 needs \2 values"),
    (r"^Option '?(\S+?)'? does not take a value\.?$", r"\1 takes no value"),
    (r"^Got unexpected extra argument(?:s|\(s\))? \((.*)\)$", r"nothing is expected where \1 stands"),
    (r"^Missing command\.?$", "a command is missing"),
)
"""What the framework says, as a pattern, and what is said here."""
_VALUES = {
    "int_parsing": "{input!r} is no whole number",
    "float_parsing": "{input!r} is no number",
    "bool_parsing": "{input!r} is neither true nor false",
    "greater_than_equal": "{input} is less than {ge}",
    "less_than_equal": "{input} is more than {le}",
    "greater_than": "{input} is not more than {gt}",
    "less_than": "{input} is not less than {lt}",
}
"""What is said of a value, by the kind of its error."""


class WrongUsage(DiffServerError):
    """A command, an option or a value that is not there, or not right."""


def wrong_usage(error: typer.TyperException, app: typer.Typer, typed: Sequence[str]) -> WrongUsage | None:
    """Return what was typed wrongly, told as other errors are; None where the help was shown in its place."""
    program = " ".join(["diffserver", *_path(app, typed)])
    detail, near = _cause(error)
    if not detail:
        return None
    return WrongUsage(detail, f"{f'did you mean {near}? ' if near else ''}see: {program} --help")


def _path(app: typer.Typer, typed: Sequence[str]) -> Iterator[str]:
    """Yield the words that name the command, of all that were typed."""
    command: Any = get_command(app)
    for word in typed:
        command = command.get_command(None, word) if hasattr(command, "get_command") else None
        if command is None:
            return
        yield word


def _cause(error: Any) -> tuple[str, str]:
    """Return what is wrong, and what may have been meant."""
    if hasattr(error, "possibilities"):
        return f"there is no option {error.option_name}", next(iter(error.possibilities or ()), "")
    if unknown := re.match(r"No such command '(.*?)'\.(?: Did you mean (.*)\?)?$", error.message, re.DOTALL):
        return f"there is no command {unknown[1]!r}", (unknown[2] or "").partition(", ")[0].strip("'")
    name = _name(error)
    if hasattr(error, "param_type"):
        return f"{name} is missing", ""
    said = _value(error) or (error.message if name else error.format_message())
    for pattern, form in _SAID:
        said = re.sub(pattern, form, said)
    said = said.strip().removesuffix(".")
    return (f"{name}: {said}" if name else said), ""


def _value(error: Any) -> str | None:
    """Return what is wrong with a value, where the framework's reader of types said so."""
    found = error.__cause__.errors()[0] if hasattr(error.__cause__, "errors") else None
    form = _VALUES.get(found["type"]) if found else None
    return form and found and form.format(input=found["input"], **found.get("ctx", {}))


def _name(error: Any) -> str:
    """Return the option or the argument that an error is about, as it is typed."""
    param = getattr(error, "param", None)
    if param is None:
        return ""
    if param.param_type_name == "option":
        return str(max(param.opts, key=len))
    return str(param.metavar or param.name.upper()).rstrip("….")
