"""The command line's commands, options and help, and the policy that options amount to.

Running the commands is left to `main`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

from diffclient import __version__, bounds
from diffclient.cli import exit_codes
from diffclient.cli.completion import SHELLS
from diffclient.cli.usage import Parser
from diffclient.measure.error_count import COUNT_LIMIT
from diffclient.network.device_api import base_url
from diffclient.network.proxies import check_proxy
from diffclient.simulate import options as simulate
from diffclient.store.field_counts import FieldCount
from diffclient.store.policy import FullFallback, Policy
from diffclient.store.store import Store
from diffclient.update.poll_loop import START_WITHIN

Command = Callable[[argparse.Namespace, Store], int | None]
Commands = argparse._SubParsersAction  # argparse has no public name for it

DESCRIPTION = "Keeps a model on this device up to date: fetch, verify, apply, measure, switch."
EPILOG = f"""\
examples:
  diffclient enroll https://models.example.org --token T --model commands --name kitchen --root root.json
  diffclient update                 poll once, install what the server assigns
  diffclient update --json --detailed-exit-code
                                    the same for another agent, which wants to know what came of it
  diffclient run                    poll for ever
  diffclient status --json          what runs here, and how well
  diffclient field --errors 3 --total 50
                                    count errors in the field, for the next report
  diffclient rollback               return to the version kept
  diffclient policy --full-fallback never --max-bytes 2000000 --mirror https://cdn.example.org
  diffclient policy --proxy http://proxy.example.org:3128 --ca-file /etc/ssl/example.pem
  diffclient run --metered-check 'nmcli -t -g GENERAL.METERED device show | grep -q ^yes'

exit codes:
{exit_codes.lines()}
(*) of an update that ended without an error: with --detailed-exit-code alone, otherwise 0

environment:
  DIFFCLIENT_STORE   the store's folder, where --store is not given (default: ./diffclient-store)
  DIFFCLIENT_TOKEN   the enrolment token, where --token is not given
  DIFFCLIENT_DEBUG   set: an internal error shows its traceback
  HTTP_PROXY, HTTPS_PROXY, ALL_PROXY
                     proxies, where --proxy is not given
  NO_PROXY           hosts that are asked without a proxy
  SSL_CERT_FILE      certificates in place of the system's; --ca-file adds to them
"""


def parser(commands: Mapping[str, Command]) -> Parser:
    """Return the parser; `commands` maps each command to its function."""
    parser = Parser(
        "diffclient",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"diffclient {__version__}")
    added = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return _command(added, name, commands[name], text)

    _enrolling(add("enroll", "introduce this device to a server"))
    update = add("update", "poll once and install what the server assigns")
    update.add_argument(
        "--detailed-exit-code",
        action="store_true",
        help="tell by the exit code, too, why nothing was installed: 9 to 12 in place of 0 (see diffclient --help)",
    )
    _updating(update)
    _running(add("run", "poll for ever; SIGTERM or Ctrl-C stops"))
    _policy(add("policy", "show, or change, what updates may cost, how long they may take and how they come"))
    _field(add("field", "count errors that the version in use made on this device's own data, for the next report"))
    add("status", "show the version in use, the one kept, and how well they do")
    add("verify", "hash every byte of the version in use again")
    add("rollback", "return to the version kept")
    completion = add("completion", "print the script by which a shell completes commands and options")
    completion.add_argument(
        "shell", choices=SHELLS, help='eval its output, as in: eval "$(diffclient completion bash)"'
    )
    simulate.add_to(add("simulate", "drive many devices from this machine, to try a server or a rollout"))
    return parser


def commands(parser: Parser) -> Mapping[str, argparse.ArgumentParser]:
    """Return the parsers of the commands, by name."""
    (added,) = (action for action in parser._actions if isinstance(action, Commands))
    return added.choices


def policy(arguments: argparse.Namespace, kept: Policy) -> Policy:
    """Return the stored policy, overridden by the options given; raises AnswerError on what is no address."""
    given = {name: getattr(arguments, name, None) for name in kept.to_json()}
    changed = {name: value for name, value in given.items() if value is not None}
    if changed.get("max_bytes") == 0:
        changed["max_bytes"] = None
    if "mirrors" in changed:
        changed["mirrors"] = tuple(base_url(mirror) for mirror in changed["mirrors"] if mirror)
    if changed.get("proxy"):
        check_proxy(changed["proxy"])
    if changed.get("ca_file"):
        changed["ca_file"] = str(Path(changed["ca_file"]).absolute())
    unset = {name: None for name in ("proxy", "ca_file") if changed.get(name) == ""}
    return replace(kept, **changed | unset)


def _enrolling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="SERVER", help="like https://models.example.org")
    parser.add_argument("--token", default=os.environ.get("DIFFCLIENT_TOKEN"), help="enrolment token")
    parser.add_argument("--model", required=True, help="the model to run")
    parser.add_argument("--name", required=True, help="what operators shall call this device")
    parser.add_argument("--channel", default="stable", help="the channel to follow (default: stable)")
    parser.add_argument(
        "--set",
        dest="attributes",
        type=_attribute,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what this device is, for operators to choose by, like region=eu; may be repeated",
    )
    parser.add_argument("--root", type=Path, metavar="FILE", help="the root of trust, as the operator hands it out")
    parser.add_argument("--root-sha256", metavar="HEX", help="or its SHA-256: the server's first root must have it")
    parser.add_argument("--force", action="store_true", help="replace the enrolment and the root that are there")
    _ways(parser, "; kept for later commands")


def _updating(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--force",
        action="store_true",
        help="install even what was rolled back from or failed probation; fetch a damaged version afresh",
    )
    parser.add_argument(
        "--score",
        metavar="NAME",
        help="what measures the model, where it is not a recogniser: package.module:function or file.py:function",
    )
    parser.add_argument("--metered", action="store_true", help="this link is metered")
    parser.add_argument(
        "--metered-check",
        metavar="COMMAND",
        help="asked at each poll, for as long as --patience; exit code 1: it is not metered",
    )
    _costs(parser)
    _ways(parser)


def _running(parser: argparse.ArgumentParser) -> None:
    _updating(parser)
    parser.add_argument(
        "--start-within",
        type=_wait,
        default=START_WITHIN,
        metavar="SECONDS",
        help="poll first at some moment within so long, so that a fleet does not start at once (default: %(default)g)",
    )


def _policy(parser: argparse.ArgumentParser) -> None:
    _costs(parser)
    _ways(parser)
    parser.add_argument(
        "--mirror",
        dest="mirrors",
        action="append",
        metavar="URL",
        help="asked for metadata and blobs after the server; may be repeated, and replaces those known; '' for none",
    )


def _field(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--errors", type=_counted, required=True, metavar="N", help="errors since the last call")
    parser.add_argument("--total", type=_some, required=True, metavar="N", help="things that were counted, like words")
    parser.add_argument(
        "--measure",
        type=_measure,
        metavar="NAME",
        help="what was counted, if not what the model's metric says, such as corrections",
    )


def _costs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--full-fallback",
        choices=get_args(FullFallback),
        help="when a whole snapshot may be fetched, also the first one (at first: unmetered)",
    )
    parser.add_argument("--max-bytes", type=_count, metavar="N", help="the most bytes of one update; 0: any")
    parser.add_argument(
        "--max-deliveries",
        type=_count,
        metavar="N",
        help="how often a version may be fetched whole after another way failed, with a day, two, four … between (at "
        "first: 5); 0: always",
    )
    parser.add_argument(
        "--max-seconds", type=_count, metavar="N", help="the most seconds of one update (at first: 3600); 0: any"
    )


def _ways(parser: argparse.ArgumentParser, more: str = "") -> None:
    parser.add_argument(
        "--proxy",
        metavar="URL",
        help=f"the proxy for all requests; none: no proxy; '': as the environment says, as at first{more}",
    )
    parser.add_argument(
        "--ca-file",
        metavar="FILE",
        help=f"certificates (PEM) that vouch for servers beside the system's; '' for none{more}",
    )
    parser.add_argument(
        "--patience",
        type=_seconds,
        metavar="SECONDS",
        help=f"in it an answer has to begin, and its speed is measured over it (at first: 30){more}",
    )
    parser.add_argument(
        "--least-speed",
        type=_count,
        metavar="N",
        help=f"bytes a second below which an answer is given up (at first: 100){more}",
    )


def _attribute(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not (name and mark and value):
        raise argparse.ArgumentTypeError(f"{text!r} is no attribute: give one like region=eu")
    return name, value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def _counted(text: str) -> int:
    value = _count(text)
    if value > COUNT_LIMIT:
        raise argparse.ArgumentTypeError(f"{value:,} is more than {COUNT_LIMIT:,}")
    return value


def _some(text: str) -> int:
    value = _counted(text)
    if value == 0:
        raise argparse.ArgumentTypeError("0 is too few")
    return value


def _measure(text: str) -> str:
    allowed = bounds.allowed(FieldCount)["measure"]
    if not allowed.holds(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name: it is {allowed}")
    return text


def _seconds(text: str) -> float:
    value = _wait(text)
    if value == 0:
        raise argparse.ArgumentTypeError("0 is too few")
    return value


def _wait(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and a day, 86400")
    return value


def _command(commands: Commands[Parser], name: str, command: Command, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    store = Path(os.environ.get("DIFFCLIENT_STORE", "diffclient-store"))
    parser.set_defaults(command=command, store=store, parser=parser, json=False)
    if name == "completion":
        return parser
    if name != "simulate":  # its devices have stores of their own
        parser.add_argument("--store", type=Path, default=store, help="the store's folder (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    return parser
