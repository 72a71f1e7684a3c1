"""The command `diffclient`: what a device's owner, or its service manager, types.

Parses and wires the parts together; `console` words what they say. An error is one line and an exit code.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from diffclient import __version__, agent, console
from diffclient.errors import (
    DiffClientError,
    DigestMismatch,
    NotEnrolled,
    NothingKept,
    ServerUnreachable,
    Stopped,
    StoreBusy,
    UpdateFailed,
)
from diffclient.fetch import Fetcher
from diffclient.outcome import Outcome
from diffclient.probation import load_score, score_speech
from diffclient.service import Service, enroll
from diffclient.store import Store
from diffclient.transport import Transport
from diffclient.updater import Updater

Command = Callable[[argparse.Namespace, Store], None]

DESCRIPTION = "Keeps a model on this device up to date: fetch, verify, apply, measure, switch."
EPILOG = """\
examples:
  diffclient enroll https://models.example.org --token T --model commands --name kitchen
  diffclient update                 poll once, install what the server assigns
  diffclient run                    poll for ever
  diffclient status --json          what runs here, and how well
  diffclient rollback               return to the version kept

exit codes:
  0    done, or nothing to do
  1    another error
  2    wrong usage; or the store is not enrolled yet, or is already
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

_EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (Stopped, 130),
    (KeyboardInterrupt, 130),
    (NotEnrolled, 2),
    (ServerUnreachable, 4),
    (StoreBusy, 5),
    (DigestMismatch, 6),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["tuf-conformance"]:
        return _conformance(words[1:])
    arguments = _parser().parse_args(words)
    try:
        arguments.command(arguments, Store(arguments.store))
    except (DiffClientError, KeyboardInterrupt) as error:
        if arguments.json:
            console.say(True, console.error_json(error), "")
        console.complain(console.error_line(error))
        return exit_code(error)
    except Exception as error:  # a fault of ours: still one line, unless someone wants to see where
        if "DIFFCLIENT_DEBUG" in os.environ:
            raise
        console.complain(f"diffclient: internal error: {error!r}; set DIFFCLIENT_DEBUG=1 and report it")
        return 1
    return 0


def _conformance(words: Sequence[str]) -> int:
    from diffclient import conformance  # for one test suite only

    return conformance.main(words)


def exit_code(error: BaseException) -> int:
    """Return an error's documented exit code."""
    if isinstance(error, UpdateFailed):
        # Not to be reached is a state of the network; anything later is a failed update.
        return 4 if error.stage == "poll" and isinstance(error.cause, ServerUnreachable) else 3
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)


def _enroll(arguments: argparse.Namespace, store: Store) -> None:
    if not arguments.token:
        raise NotEnrolled("no enrolment token: give --token or set DIFFCLIENT_TOKEN")
    with store.locked():
        if store.enrolled and not arguments.force:
            raise NotEnrolled(f"{store.root} is enrolled already: use another --store, or --force to replace it")
        wishes = {"model": arguments.model, "name": arguments.name, "channel": arguments.channel}
        enrolment = enroll(Transport(), arguments.server, arguments.token, **wishes)
        store.enroll(enrolment)
    line = f"enrolled as {enrolment.name} for {enrolment.model} ({enrolment.channel}) at {enrolment.server}"
    console.say(arguments.json, console.status_json(store.state(), enrolment), line)


def _update(arguments: argparse.Namespace, store: Store) -> None:
    stop = agent.StopSign()
    with stop.watched():
        outcome = _updater(arguments, store, stop).update(force=arguments.force)
    console.say(arguments.json, outcome.to_json(), console.outcome_line(outcome))


def _run(arguments: argparse.Namespace, store: Store) -> None:
    def tell(result: Outcome | DiffClientError, seconds: float) -> None:
        told = result.to_json() if isinstance(result, Outcome) else console.error_json(result)
        line = console.outcome_line(result) if isinstance(result, Outcome) else console.error_line(result)
        told["next_poll_seconds"] = round(seconds, 1)
        console.say(arguments.json, told, f"{line}; next poll in {seconds:.0f} s")

    stop = agent.StopSign()
    with stop.watched():
        agent.run(_updater(arguments, store, stop).update, stop.pause, tell)


def _status(arguments: argparse.Namespace, store: Store) -> None:
    state, enrolment = store.state(), store.enrolment() if store.enrolled else None
    console.say(arguments.json, console.status_json(state, enrolment), console.status_lines(state, enrolment))


def _verify(arguments: argparse.Namespace, store: Store) -> None:
    with store.locked():
        current = store.state().current
        if current is None:
            raise NothingKept("no version is installed here yet: run `diffclient update`")
        store.verify(current)
    line = f"every byte of version {current.manifest.to_version} is in place: {current.digest}"
    console.say(arguments.json, {"verified": True, **(console.version_json(current) or {})}, line)


def _rollback(arguments: argparse.Namespace, store: Store) -> None:
    version = _updater(arguments, store, agent.StopSign()).rollback()
    line = f"back to {console.version_line(version)}"
    console.say(arguments.json, {"current": console.version_json(version)}, line)


def _updater(arguments: argparse.Namespace, store: Store, stop: agent.StopSign) -> Updater:
    enrolment, progress = store.enrolment(), console.Progress(stop)
    transport = Transport(pause=stop.pause)
    fetcher = Fetcher(transport, [enrolment.server], store.downloads, progress.received)
    score = load_score(arguments.score) if getattr(arguments, "score", None) else score_speech
    return Updater(store, Service(transport, enrolment), fetcher, score, progress.stage)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "diffclient",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"diffclient {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    enrolling = _command(commands, "enroll", _enroll, "introduce this device to a server")
    enrolling.add_argument("server", metavar="SERVER", help="like https://models.example.org")
    enrolling.add_argument("--token", default=os.environ.get("DIFFCLIENT_TOKEN"), help="enrolment token")
    enrolling.add_argument("--model", required=True, help="the model to run")
    enrolling.add_argument("--name", required=True, help="what operators shall call this device")
    enrolling.add_argument("--channel", default="stable", help="the channel to follow (default: stable)")
    enrolling.add_argument("--force", action="store_true", help="replace the enrolment that is there")

    updating = _command(commands, "update", _update, "poll once and install what the server assigns")
    updating.add_argument(
        "--force",
        action="store_true",
        help="install even what was rolled back from; fetch a damaged version afresh",
    )
    running = _command(commands, "run", _run, "poll for ever; SIGTERM or Ctrl-C stops between two steps")
    for parent in (updating, running):
        parent.add_argument(
            "--score", metavar="MODULE:FUNCTION", help="what measures the model, where it is not a recogniser"
        )
    _command(commands, "status", _status, "show the version in use, the one kept, and how well they do")
    _command(commands, "verify", _verify, "hash every byte of the version in use again")
    _command(commands, "rollback", _rollback, "return to the version kept")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, command: Command, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=command)
    store = Path(os.environ.get("DIFFCLIENT_STORE", "diffclient-store"))
    parser.add_argument("--store", type=Path, default=store, help="the store's folder (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    return parser
