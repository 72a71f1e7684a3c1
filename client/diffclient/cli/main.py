"""The command `diffclient`, for a device's owner or its service manager.

Connects the parts and turns an error into one line and an exit code. Options are left to `options`, printed text to
`output`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from diffclient.cli import options, output
from diffclient.errors import (
    AlreadyEnrolled,
    DiffClientError,
    DigestMismatch,
    NotEnrolled,
    NothingKept,
    ServerUnreachable,
    Stopped,
    StoreBusy,
    UpdateFailed,
)
from diffclient.measure.probation import load_score, score_speech
from diffclient.network.device_api import Service, enroll
from diffclient.network.fetch import Fetcher
from diffclient.network.transport import Transport
from diffclient.store.store import Store
from diffclient.trust import initial_root
from diffclient.trust.verified_metadata import PATH as METADATA
from diffclient.trust.verified_metadata import Trust, plant_root
from diffclient.update import poll_loop
from diffclient.update.outcome import Outcome
from diffclient.update.updater import Updater

_EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (Stopped, 130),
    (KeyboardInterrupt, 130),
    (NotEnrolled, 2),
    (AlreadyEnrolled, 2),
    (ServerUnreachable, 4),
    (StoreBusy, 5),
    (DigestMismatch, 6),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["tuf-conformance"]:
        return _conformance(words[1:])
    arguments = options.parser(_COMMANDS).parse_args(words)
    try:
        arguments.command(arguments, Store(arguments.store))
    except (DiffClientError, KeyboardInterrupt) as error:
        if arguments.json:
            output.print_result(True, output.error_json(error))
        output.print_error(output.error_line(error))
        return exit_code(error)
    except Exception as error:  # a fault of ours: still one line, unless someone wants to see where
        if "DIFFCLIENT_DEBUG" in os.environ:
            raise
        output.print_error(f"diffclient: internal error: {error!r}; set DIFFCLIENT_DEBUG=1 and report it")
        return 1
    return 0


def _conformance(arguments: Sequence[str]) -> int:
    from diffclient.cli import tuf_conformance  # for one test suite only

    return tuf_conformance.main(arguments)


def exit_code(error: BaseException) -> int:
    """Return an error's documented exit code."""
    if isinstance(error, UpdateFailed):
        # Not to be reached is a state of the network; anything later is a failed update.
        return 4 if error.stage in ("poll", "trust") and isinstance(error.cause, ServerUnreachable) else 3
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)


def _enroll(arguments: argparse.Namespace, store: Store) -> None:
    if not arguments.token:
        raise NotEnrolled("no enrolment token: give --token or set DIFFCLIENT_TOKEN")
    with store.locked():
        if store.enrolled and not arguments.force:
            raise AlreadyEnrolled(f"{store.root} is enrolled already: use another --store, or --force to replace it")
        transport = Transport()
        # The root first: without one, an enrolment token would be spent for nothing.
        root = initial_root.root_of_trust(transport, arguments.server, arguments.root, arguments.root_sha256)
        registration = {"model": arguments.model, "name": arguments.name, "channel": arguments.channel}
        enrolment = enroll(transport, arguments.server, arguments.token, **registration)
        plant_root(store.trust, root)
        store.enroll(enrolment)
    line = f"enrolled as {enrolment.name} for {enrolment.model} ({enrolment.channel}) at {enrolment.server}"
    output.print_result(arguments.json, output.status_json(store.state(), enrolment), line)


def _update(arguments: argparse.Namespace, store: Store) -> None:
    stop = poll_loop.StopSign()
    with stop.watched():
        outcome = _updater(arguments, store, stop).update(force=arguments.force)
    output.print_result(arguments.json, outcome.to_json(), output.outcome_line(outcome))


def _run(arguments: argparse.Namespace, store: Store) -> None:
    def print_outcome(result: Outcome | DiffClientError, seconds: float) -> None:
        event = result.to_json() if isinstance(result, Outcome) else output.error_json(result)
        line = output.outcome_line(result) if isinstance(result, Outcome) else output.error_line(result)
        event["next_poll_seconds"] = round(seconds, 1)
        output.print_result(arguments.json, event, f"{line}; next poll in {seconds:.0f} s")

    stop = poll_loop.StopSign()
    with stop.watched():
        poll_loop.run(_updater(arguments, store, stop).update, stop.pause, print_outcome)


def _policy(arguments: argparse.Namespace, store: Store) -> None:
    with store.locked():
        policy = options.policy(arguments, store.policy())
        if policy != store.policy():
            store.allow(policy)
    output.print_result(arguments.json, policy.to_json(), *output.policy_lines(policy))


def _status(arguments: argparse.Namespace, store: Store) -> None:
    state, enrolment = store.state(), store.enrolment() if store.enrolled else None
    output.print_result(arguments.json, output.status_json(state, enrolment), *output.status_lines(state, enrolment))


def _verify(arguments: argparse.Namespace, store: Store) -> None:
    with store.locked():
        current = store.state().current
        if current is None:
            raise NothingKept("no version is installed here yet: run `diffclient update`")
        store.verify(current)
    line = f"every byte is in place: {output.version_line(current)}"
    output.print_result(arguments.json, {"verified": True, **(output.version_json(current) or {})}, line)


def _rollback(arguments: argparse.Namespace, store: Store) -> None:
    version = _updater(arguments, store, poll_loop.StopSign()).rollback()
    line = f"back to {output.version_line(version)}"
    output.print_result(arguments.json, {"current": output.version_json(version)}, line)


def _updater(arguments: argparse.Namespace, store: Store, stop: poll_loop.StopSign) -> Updater:
    enrolment, policy, progress = store.enrolment(), options.policy(arguments, store.policy()), output.Progress(stop)
    transport = Transport(pause=stop.pause)
    bases = [enrolment.server, *policy.mirrors]
    return Updater(
        store,
        Service(transport, enrolment),
        Fetcher(transport, bases, store.downloads, progress.received),
        lambda: Trust(store.trust, [base + METADATA for base in bases], transport),
        policy,
        options.metered(arguments),
        load_score(arguments.score) if getattr(arguments, "score", None) else score_speech,
        progress.stage,
    )


_COMMANDS: dict[str, options.Command] = {
    "enroll": _enroll,
    "update": _update,
    "run": _run,
    "policy": _policy,
    "status": _status,
    "verify": _verify,
    "rollback": _rollback,
}
