"""The options of `diffclient simulate`, and the plan that they amount to."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

from diffclient.network.report import Cause
from diffclient.simulate.plan import Attribute, Effect, Fault, Plan

T = TypeVar("T")

REAL = 50
"""How many devices are real where no one says it."""

EXAMPLES = """\
examples:
  diffclient simulate http://127.0.0.1:8080 --model commands --token T --root root.json --devices 1000
  diffclient simulate … --devices 10000 --real 100 --folder /dev/shm/fleet --days 14 --day-seconds 30
  diffclient simulate … --offline 0.2 --offline-days 3 --metered 0.3 --fault network=0.05 --fault version=0.3@4
  diffclient simulate … --set region=eu:0.3,us:0.7 --effect 4=+5@0.3 --effect 4=+2@region=eu --json
"""


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the options to the command's parser."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    parser.add_argument("server", metavar="SERVER", help="like http://127.0.0.1:8080")
    parser.add_argument("--token", required=True, help="enrolment token, good for that many devices")
    parser.add_argument("--model", required=True, help="the model that they run")
    parser.add_argument("--channel", default="stable", help="the channel that they follow (default: stable)")
    parser.add_argument("--root", type=Path, required=True, metavar="FILE", help="the root of trust")
    parser.add_argument("--devices", type=_whole, required=True, metavar="N", help="how many devices")
    parser.add_argument(
        "--real",
        type=_whole,
        default=REAL,
        metavar="K",
        help="up to how many of them are real updaters with a store each; the others speak the protocol alone and "
        "pretend to install (default: %(default)s)",
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the stores go (default: one that is removed)")
    parser.add_argument("--score", metavar="NAME", help="what measures the model on real devices, as of `update`")
    parser.add_argument("--days", type=_whole, default=1, metavar="N", help="simulated days (default: %(default)s)")
    parser.add_argument(
        "--day-seconds",
        type=_not_negative,
        default=0.0,
        metavar="S",
        help="the least seconds that a day takes; each day has one poll (default: as fast as can be)",
    )
    _what_befalls_them(parser)
    _how_well_they_do(parser)


def plan(arguments: argparse.Namespace) -> Plan:
    """Return the plan that the options say."""
    given = {name: getattr(arguments, name) for name in Plan.__annotations__}
    lists = {name: tuple(given[name]) for name in ("attributes", "faults", "effects")}
    return Plan(**given | lists | {"real": min(arguments.real, arguments.devices)})


def effect(text: str) -> Effect:
    """Read an effect, such as 4=+5@0.3 or 4=-1@region=eu."""
    what, _, where = text.partition("@")
    version, points = _pair(what, "an effect is VERSION=POINTS, like 4=+5@0.3")
    name, is_attribute, value = where.partition("=")
    if is_attribute:
        return Effect(_whole(version), _number(points), attribute=(name, value))
    return Effect(_whole(version), _number(points), _share(where) if where else 1.0)


def fault(text: str) -> Fault:
    """Read a fault, such as network=0.05 or version=0.3@4."""
    what, _, version = text.partition("@")
    named, share = _pair(what, "a fault is CAUSE=SHARE, like network=0.05")
    cause: Cause | None = next((cause for cause in get_args(Cause) if cause == named), None)
    if cause is None:
        raise argparse.ArgumentTypeError(f"{named!r} is no cause of a fault: give one of {', '.join(get_args(Cause))}")
    return Fault(cause, _share(share), _whole(version) if version else None)


def attribute(text: str) -> Attribute:
    """Read an attribute, such as region=eu:0.3,us:0.7."""
    name, values = _pair(text, "an attribute is NAME=VALUE:SHARE,…, like region=eu:0.3,us:0.7")
    pairs = [part.rpartition(":") for part in values.split(",")]
    shares = tuple((value, _share(share)) for value, _, share in pairs)
    if not all(value for value, _ in shares) or sum(share for _, share in shares) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} gives no device a value: write it like region=eu:0.3,us:0.7")
    return Attribute(name, shares)


def _what_befalls_them(parser: argparse.ArgumentParser) -> None:
    _figure(parser, "seed", _whole, "what chance begins with")
    _repeated(parser, "--set", "attributes", attribute, "NAME=VALUE:SHARE,…", "an attribute, and each value's share")
    _repeated(
        parser, "--fault", "faults", fault, "CAUSE=SHARE[@VERSION]",
        "a share of updates that fail by network, server, device or version",
    )  # fmt: skip
    _figure(parser, "offline", _share, "the share of devices that are offline at any time")
    _figure(parser, "offline_days", _days, "how many days each is offline at a time")
    _figure(parser, "metered", _share, "the share of devices whose link is metered once they have a version")
    _figure(parser, "clock_offset", _not_negative, "how far clocks of devices by protocol are off, in seconds")


def _how_well_they_do(parser: argparse.ArgumentParser) -> None:
    _figure(parser, "counting", _share, "the share of devices that count errors in the field")
    _figure(parser, "words", _some, "how many words each of those counts in a day")
    _figure(parser, "rate", _not_negative, "their mean error rate in percent")
    _figure(parser, "spread", _not_negative, "how much devices' error rates differ, in points")
    _figure(parser, "drift", _number, "what error rates gain in a day, in points")
    _repeated(
        parser, "--effect", "effects", effect, "VERSION=POINTS[@WHERE]",
        "what a version changes in the error rate, on a share of devices (0.3) or those with an attribute (region=eu)",
    )  # fmt: skip


def _figure(parser: argparse.ArgumentParser, name: str, kind: Callable[[str], Any], text: str) -> None:
    usual, option = getattr(Plan(0), name), f"--{name.replace('_', '-')}"
    parser.add_argument(option, type=kind, default=usual, metavar="N", help=f"{text} (default: %(default)g)")


def _repeated(
    parser: argparse.ArgumentParser, option: str, name: str, kind: Callable[[str], Any], form: str, text: str
) -> None:
    parser.add_argument(
        option, dest=name, type=kind, action="append", default=[], metavar=form, help=f"{text}; may be repeated"
    )


def _pair(text: str, rule: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not (name and value):
        raise argparse.ArgumentTypeError(rule)
    return name, value


def _number(text: str) -> float:
    return _read(float, text, "a number", lambda value: abs(value) < float("inf"))


def _not_negative(text: str) -> float:
    return _read(float, text, "a number from 0 on", lambda value: 0 <= value < float("inf"))


def _days(text: str) -> float:
    return _read(float, text, "a number above 0", lambda value: 0 < value < float("inf"))


def _share(text: str) -> float:
    return _read(float, text, "a share from 0 to 1", lambda value: 0 <= value <= 1)


def _whole(text: str) -> int:
    return _read(int, text, "a whole number from 0 on", lambda value: value >= 0)


def _some(text: str) -> int:
    return _read(int, text, "a whole number from 1 on", lambda value: value >= 1)


def _read(kind: Callable[[str], T], text: str, what: str, holds: Callable[[T], bool]) -> T:
    try:
        value = kind(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from error
    if not holds(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return value
