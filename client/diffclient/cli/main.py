"""The command `diffclient`, for a device's owner or its service manager.

Options are left to `options`, an updater's parts to `wiring`, printed text to `output`. An error becomes one line and
an exit code, which `exit_codes` explains.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from functools import partial

from diffclient.cli import completion, exit_codes, options, output
from diffclient.cli.wiring import make_transport, make_updater
from diffclient.errors import (
    AlreadyEnrolled,
    DiffClientError,
    InternalError,
    NothingKept,
    NoToken,
    StateError,
    StoreError,
    UpdateFailed,
)
from diffclient.measure.probation import Score, load_score, score_speech
from diffclient.network.device_api import base_url, enroll
from diffclient.store import field_counts
from diffclient.store.policy import Policy
from diffclient.store.store import Store
from diffclient.trust import initial_root
from diffclient.trust.verified_metadata import plant_root
from diffclient.update import poll_loop
from diffclient.update.interrupt import StopSign
from diffclient.update.outcome import Outcome


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["tuf-conformance"]:
        return _conformance(words[1:])
    arguments = options.parser(_COMMANDS).parse_args(words)
    code = _run_command(arguments)
    output.give_up_unwritten()
    return code


def _run_command(arguments: argparse.Namespace) -> int:
    try:
        return arguments.command(arguments, Store(arguments.store)) or 0
    except (DiffClientError, KeyboardInterrupt) as error:
        if "DIFFCLIENT_DEBUG" in os.environ and (fault := _fault_of_ours(error)):
            raise fault from None
        if arguments.json:
            with contextlib.suppress(OSError):
                output.print_result(True, output.error_json(error))
        output.print_error(output.error_line(error))
        return exit_codes.of_error(error)
    except Exception as error:  # a fault of ours: still one line, unless someone wants to see where
        if "DIFFCLIENT_DEBUG" in os.environ:
            raise
        output.print_error(output.error_line(InternalError(error)))
        return 1


def _fault_of_ours(error: BaseException) -> BaseException | None:
    """Return what is behind an internal error, also where it ended an update."""
    cause = error.cause if isinstance(error, UpdateFailed) else error
    return cause.__cause__ if isinstance(cause, InternalError) else None


def _conformance(arguments: Sequence[str]) -> int:
    from diffclient.cli import tuf_conformance  # for one test suite only

    return tuf_conformance.main(arguments)


def _enroll(arguments: argparse.Namespace, store: Store) -> None:
    if not arguments.token:
        raise NoToken("no enrolment token: give --token or set DIFFCLIENT_TOKEN")
    with store.locked():
        if store.enrolled and not arguments.force:
            raise AlreadyEnrolled(f"{store.root} is enrolled already: use another --store, or --force to replace it")
        policy = options.policy(arguments, store.policy())
        transport = make_transport(policy)
        # The root first: without one, an enrolment token would be spent for nothing.
        root = initial_root.root_of_trust(transport, arguments.server, arguments.root, arguments.root_sha256)
        registration = {"model": arguments.model, "name": arguments.name, "channel": arguments.channel}
        enrolment = enroll(
            transport,
            arguments.server,
            arguments.token,
            **registration,
            attributes=dict(arguments.attributes),
            replaces=_former_token(store, base_url(arguments.server)),
        )
        plant_root(store.trust, root)
        _keep(store, policy)
        store.enroll(enrolment)
    line = f"enrolled as {enrolment.name} for {enrolment.model} ({enrolment.channel}) at {enrolment.server}"
    output.print_result(arguments.json, output.status_json(store.state(), enrolment), line)


def _former_token(store: Store, server: str) -> str | None:
    """Return the token of the store's enrolment at a server, which a new one replaces there."""
    with contextlib.suppress(StateError, StoreError):  # of one that is damaged nothing is known
        if store.enrolled and (former := store.enrolment()).server == server:
            return former.token
    return None


def _update(arguments: argparse.Namespace, store: Store) -> int:
    stop, score = StopSign(), _score(arguments)
    with stop.watched():
        outcome = _poll(arguments, store, stop, score)
    output.print_result(arguments.json, outcome.to_json(), output.outcome_line(outcome))
    return exit_codes.of_action(outcome.action, arguments.detailed_exit_code)


def _run(arguments: argparse.Namespace, store: Store) -> None:
    def print_outcome(result: Outcome | DiffClientError, seconds: float) -> None:
        event = result.to_json() if isinstance(result, Outcome) else output.error_json(result)
        line = output.outcome_line(result) if isinstance(result, Outcome) else output.error_line(result)
        event["next_poll_seconds"] = round(seconds, 1)
        output.print_result(arguments.json, event, f"{line}; next poll in {seconds:.0f} s")

    stop, score = StopSign(), _score(arguments)
    store.enrolment()  # without one, no poll will ever come to anything
    with stop.watched():
        update = partial(_poll, arguments, store, stop, score)
        poll_loop.run(update, stop.pause, print_outcome, arguments.start_within)


def _poll(arguments: argparse.Namespace, store: Store, stop: StopSign, score: Score) -> Outcome:
    """Update once, in the time that the policy gives as it stands now."""
    policy = options.policy(arguments, store.policy())
    with stop.within(policy.max_seconds):
        return make_updater(arguments, store, policy, stop, score).update(force=arguments.force)


def _policy(arguments: argparse.Namespace, store: Store) -> None:
    with store.locked():
        policy = options.policy(arguments, store.policy())
        _keep(store, policy)
    output.print_result(arguments.json, output.policy_json(policy), *output.policy_lines(policy))


def _keep(store: Store, policy: Policy) -> None:
    if policy != store.policy():
        store.allow(policy)


def _status(arguments: argparse.Namespace, store: Store) -> None:
    state, enrolment = store.state(), store.enrolment() if store.enrolled else None
    output.print_result(arguments.json, output.status_json(state, enrolment), *output.status_lines(state, enrolment))


def _field(arguments: argparse.Namespace, store: Store) -> None:
    current = store.state().current
    if current is None:
        raise NothingKept("no version is installed here yet, so that none can err: run `diffclient update`")
    gathered = field_counts.record(store.root, current.digest, arguments.errors, arguments.total, arguments.measure)
    output.print_result(arguments.json, output.field_json(current, gathered), output.field_line(current, gathered))


def _verify(arguments: argparse.Namespace, store: Store) -> None:
    with store.locked():
        current = store.state().current
        if current is None:
            raise NothingKept("no version is installed here yet: run `diffclient update`")
        store.verify(current)
    line = f"every byte is in place: {output.version_line(current)}"
    output.print_result(arguments.json, {"verified": True, **(output.version_json(current) or {})}, line)


def _rollback(arguments: argparse.Namespace, store: Store) -> None:
    version = make_updater(arguments, store, store.policy(), StopSign(), score_speech).rollback()
    line = f"back to {output.version_line(version)}"
    output.print_result(arguments.json, {"current": output.version_json(version)}, line)


def _completion(arguments: argparse.Namespace, _store: Store) -> None:
    commands = options.commands(options.parser(_COMMANDS))
    output.print_script(completion.SHELLS[arguments.shell](commands))


def _score(arguments: argparse.Namespace) -> Score:
    return load_score(arguments.score) if arguments.score else score_speech


def _simulate(arguments: argparse.Namespace, _store: Store) -> None:
    from diffclient.cli.simulate import simulate  # for trials of servers and rollouts alone

    simulate(arguments)


_COMMANDS: dict[str, options.Command] = {
    "enroll": _enroll,
    "update": _update,
    "run": _run,
    "policy": _policy,
    "status": _status,
    "field": _field,
    "verify": _verify,
    "rollback": _rollback,
    "completion": _completion,
    "simulate": _simulate,
}
