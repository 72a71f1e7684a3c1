"""The command line's commands, options and help, and the policy that options amount to.

Running the commands is left to `main`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

from diffclient import __version__
from diffclient.network.device_api import base_url
from diffclient.store.policy import FullFallback, Policy
from diffclient.store.store import Store

Command = Callable[[argparse.Namespace, Store], None]
Commands = argparse._SubParsersAction  # argparse has no public name for it

DESCRIPTION = "Keeps a model on this device up to date: fetch, verify, apply, measure, switch."
EPILOG = """\
examples:
  diffclient enroll https://models.example.org --token T --model commands --name kitchen --root root.json
  diffclient update                 poll once, install what the server assigns
  diffclient run                    poll for ever
  diffclient status --json          what runs here, and how well
  diffclient rollback               return to the version kept
  diffclient policy --full-fallback never --max-bytes 2000000 --mirror https://cdn.example.org
  diffclient run --metered-check 'nmcli -t -g GENERAL.METERED device show | grep -q ^yes'

exit codes:
  0    done, or nothing to do
  1    another error
  2    wrong usage, or the store is not enrolled yet or enrolled already
  3    an update failed; the version in use is unchanged
  4    the server cannot be reached, or is busy
  5    another process is using the store
  6    something on the disk is damaged
  130  stopped by a signal, between two steps

environment:
  DIFFCLIENT_STORE   the store's folder, where --store is not given (default: ./diffclient-store)
  DIFFCLIENT_TOKEN   the enrolment token, where --token is not given
  DIFFCLIENT_DEBUG   set: an internal error shows its traceback
"""


def parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """Return the parser; `commands` maps each command to its function."""
    parser = argparse.ArgumentParser(
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
    for updating in (
        add("update", "poll once and install what the server assigns"),
        add("run", "poll for ever; SIGTERM or Ctrl-C stops between two steps"),
    ):
        _updating(updating)
    _policy(add("policy", "show, or change, what updates may cost and which mirrors serve"))
    add("status", "show the version in use, the one kept, and how well they do")
    add("verify", "hash every byte of the version in use again")
    add("rollback", "return to the version kept")
    return parser


def policy(arguments: argparse.Namespace, kept: Policy) -> Policy:
    """Return the stored policy, overridden by the options given."""
    given = {name: getattr(arguments, name, None) for name in ("full_fallback", "max_bytes", "mirrors")}
    changed = {name: value for name, value in given.items() if value is not None}
    if changed.get("max_bytes") == 0:
        changed["max_bytes"] = None
    if "mirrors" in changed:
        changed["mirrors"] = tuple(base_url(mirror) for mirror in changed["mirrors"] if mirror)
    return replace(kept, **changed)


def metered(arguments: argparse.Namespace) -> Callable[[], bool]:
    """Return a function that tells whether the link is metered at this moment."""
    command = getattr(arguments, "metered_check", None)
    if command is None:
        return lambda: bool(getattr(arguments, "metered", False))
    # Only a command that says no is believed: one that cannot be run must not cost money.
    return lambda: subprocess.run(command, shell=True, check=False).returncode != 1


def _enrolling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="SERVER", help="like https://models.example.org")
    parser.add_argument("--token", default=os.environ.get("DIFFCLIENT_TOKEN"), help="enrolment token")
    parser.add_argument("--model", required=True, help="the model to run")
    parser.add_argument("--name", required=True, help="what operators shall call this device")
    parser.add_argument("--channel", default="stable", help="the channel to follow (default: stable)")
    parser.add_argument("--root", type=Path, metavar="FILE", help="the root of trust, as the operator hands it out")
    parser.add_argument("--root-sha256", metavar="HEX", help="or its SHA-256: the server's first root must have it")
    parser.add_argument("--force", action="store_true", help="replace the enrolment and the root that are there")


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
    parser.add_argument("--metered-check", metavar="COMMAND", help="asked at each poll; exit code 1: it is not metered")
    _costs(parser)


def _policy(parser: argparse.ArgumentParser) -> None:
    _costs(parser)
    parser.add_argument(
        "--mirror",
        dest="mirrors",
        action="append",
        metavar="URL",
        help="asked for metadata and blobs after the server; may be repeated, and replaces those known; '' for none",
    )


def _costs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--full-fallback",
        choices=get_args(FullFallback),
        help="when a whole snapshot may be fetched, also the first one (at first: unmetered)",
    )
    parser.add_argument("--max-bytes", type=_bytes, metavar="N", help="the most bytes of one update; 0: any")


def _bytes(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("bytes are not negative")
    return value


def _command(
    commands: Commands[argparse.ArgumentParser], name: str, command: Command, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=command)
    store = Path(os.environ.get("DIFFCLIENT_STORE", "diffclient-store"))
    parser.add_argument("--store", type=Path, default=store, help="the store's folder (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    return parser
