"""The command line's output: lines for people, a JSON object for scripts, progress for both.

Nothing else prints: what a server or a file said shows every character as itself or as a question mark. Standard error
may be gone, or on a full disk: then no one can be told, and nothing ends for that.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import textwrap
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from diffclient.cli.pace import Pace
from diffclient.errors import DiffClientError, ServerRefused, UpdateFailed
from diffclient.measure.error_count import Errors
from diffclient.network.fetch import Source
from diffclient.network.messages import Enrolment
from diffclient.network.proxies import hidden
from diffclient.network.report import Stage
from diffclient.plain_text import plain, printable
from diffclient.release.metric import Metric
from diffclient.store.field_counts import FieldCount
from diffclient.store.policy import Policy
from diffclient.store.state import Installed, State
from diffclient.update.cause import cause_of
from diffclient.update.interrupt import StopSign
from diffclient.update.outcome import Outcome

_LINE_LIMIT = 2000


def print_result(as_json: bool, value: dict[str, Any], *lines: str) -> None:
    """Print `value` as one line of JSON, or else the lines; raises OSError if standard output takes nothing."""
    _replace_line("")
    print(json.dumps(value) if as_json else "\n".join(map(_fitting, map(printable, lines))), flush=True)


def _fitting(line: str) -> str:
    """Break a line for a terminal between words, further lines below what follows its label; no word is broken."""
    if not sys.stdout.isatty():
        return line
    label = re.match(r"\S+(?: \S+)*  +", line)
    return textwrap.fill(
        line,
        shutil.get_terminal_size().columns,
        subsequent_indent=" " * (label.end() if label else 0),
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_script(text: str) -> None:
    """Print lines for a shell, as they are."""
    print(text, end="", flush=True)


def print_error(line: str) -> None:
    """Print a line to standard error."""
    _replace_line("")
    with contextlib.suppress(OSError):
        print(printable(line), file=sys.stderr, flush=True)


def give_up_unwritten() -> None:
    """Drop what standard output or standard error did not take, or Python complains of it at the very end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def outcome_line(outcome: Outcome) -> str:
    """Return an update's outcome as a sentence."""
    if outcome.action == "held_back":
        return f"version {outcome.version} was rolled back from: held back until the target changes, or --force"
    if outcome.action == "unfit":
        return f"version {outcome.version} failed probation here, and nothing changed since: see `diffclient status`"
    if outcome.action == "delivered":
        return (
            f"version {outcome.version} was fetched whole before, for nothing, and may not be again yet: see "
            "`diffclient status`; `diffclient update --force` fetches it now"
        )
    if outcome.action == "withheld":
        return "something new is there, but only a snapshot leads to it, which the policy does not allow on this link"
    if outcome.action == "none":
        return "nothing is published yet" if outcome.version is None else f"up to date: version {outcome.version}"
    counted = (outcome.metric, outcome.errors, outcome.total)
    figures = _figures(*counted, outcome.expected_error_rate_ppm, outcome.drift_ppm)
    detour = f", by another way, since the first one failed at stage {outcome.detour}" if outcome.detour else ""
    return f"now at version {outcome.version}{figures}; {_fetched(outcome)}{detour}"


def _fetched(outcome: Outcome) -> str:
    """Say how many bytes were fetched, and for what."""
    parts = {
        "payload": outcome.payload_bytes,
        "graph": outcome.graph_bytes,
        "probe set": outcome.probe_bytes,
        "metadata": outcome.metadata_bytes,
    }
    named = ", ".join(f"{name} {count:,}" for name, count in parts.items() if count)
    return f"{outcome.fetched_bytes:,} bytes fetched" + (f" ({named})" if named else "")


def version_line(version: Installed | None) -> str:
    """Return a version's number, digest and error rates as a line."""
    if version is None:
        return "nothing"
    manifest = version.manifest
    counted = (manifest.metric, version.measured.errors, version.measured.total)
    figures = _figures(*counted, manifest.error_rate_ppm, version.drift_ppm)
    return f"version {manifest.to_version}, {version.digest}{figures}"


def version_json(version: Installed | None) -> dict[str, Any] | None:
    """Return a version's number, digest and error rates as JSON values."""
    if version is None:
        return None
    return {
        "version": version.manifest.to_version,
        "digest": version.digest,
        "metric": asdict(version.manifest.metric),
        "errors": version.measured.errors,
        "total": version.measured.total,
        "error_rate_ppm": version.error_rate_ppm,
        "expected_error_rate_ppm": version.manifest.error_rate_ppm,
        "drift_ppm": version.drift_ppm,
        "max_drift_ppm": version.manifest.max_drift_ppm,
    }


def status_lines(state: State, enrolment: Enrolment | None) -> list[str]:
    """Return the enrolment, the versions and the pending work of a device, a line each."""
    server = f"{enrolment.model} ({enrolment.channel}) from {enrolment.server}" if enrolment else "not enrolled"
    lines = [
        f"model    {server}",
        f"in use   {version_line(state.current)}",
        f"kept     {version_line(state.previous)}",
    ]
    if state.held_back:
        lines.append(f"held     {state.held_back}, until the server's target changes or `update --force`")
    lines += [f"unfit    {verdict.digest}: {verdict.reason}" for verdict in state.unfit]
    lines += [
        f"whole    {delivery.digest}: fetched whole as a fallback {delivery.times} times, last on "
        f"{datetime.fromtimestamp(delivery.at, UTC):%Y-%m-%d %H:%M} UTC"
        for delivery in state.deliveries
    ]
    if state.failure:
        lines.append(f"failed   {state.failure.at} at stage {state.failure.stage}: {state.failure.reason}")
    if state.outbox:
        lines.append(f"reports  {len(state.outbox)} waiting for the server")
    return lines


def status_json(state: State, enrolment: Enrolment | None) -> dict[str, Any]:
    """Return the enrolment without its token, the versions and the pending work of a device as JSON values."""
    names = ("server", "device_id", "name", "model", "channel")
    return {
        "enrolled": enrolment is not None,
        **{name: getattr(enrolment, name, None) for name in names},
        "current": version_json(state.current),
        "previous": version_json(state.previous),
        "held_back": state.held_back,
        "failure": state.to_json()["failure"],
        "unfit": [asdict(verdict) for verdict in state.unfit],
        "deliveries": [asdict(delivery) for delivery in state.deliveries],
        "reports_waiting": len(state.outbox),
    }


def policy_lines(policy: Policy) -> list[str]:
    """Return the policy's limits, a line each."""
    cap = "any" if policy.max_bytes is None else f"{policy.max_bytes:,}"
    time = f"{policy.max_seconds:,} s" if policy.max_seconds else "any"
    return [
        f"snapshots  {policy.full_fallback}",
        f"bytes      {cap} an update",
        f"fallbacks  {policy.max_deliveries or 'any'} whole deliveries of a version",
        f"mirrors    {', '.join(policy.mirrors) or 'none'}",
        f"time       {time} an update",
        f"speed      {policy.least_speed:,} bytes a second at least, over {policy.patience:g} s",
        f"proxy      {hidden(policy.proxy) if policy.proxy else 'as the environment says'}",
        f"ca file    {policy.ca_file or 'none beside the system'}",
    ]


def policy_json(policy: Policy) -> dict[str, Any]:
    """Return the same for scripts; a proxy's password stays where it is."""
    return policy.to_json() | {"proxy": hidden(policy.proxy) if policy.proxy else None}


def field_line(version: Installed, gathered: FieldCount) -> str:
    """Return what has gathered in the field of a version since the last report as a line."""
    metric = version.manifest.metric
    counted = gathered.measure or metric.counts
    return (
        f"version {version.manifest.to_version}: {gathered.errors:,} errors in {gathered.total:,} {counted} to report"
    )


def field_json(version: Installed, gathered: FieldCount) -> dict[str, Any]:
    """Return the same as JSON values."""
    return {"version": version.manifest.to_version, **asdict(gathered)}


def error_json(error: BaseException) -> dict[str, Any]:
    """Return an error as JSON values: type, message and, of a failed update, stage, cause and what is at fault."""
    event: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, UpdateFailed):
        event |= {"stage": error.stage, "cause": type(error.cause).__name__}
        event["at_fault"] = cause_of(error.cause, error.stage)
    if isinstance(error, ServerRefused):
        event |= {"status": error.status, "title": error.title, "remedy": error.remedy}
    return event


def error_line(error: BaseException) -> str:
    """Return an error as one line."""
    text = plain(str(error), _LINE_LIMIT) or type(error).__name__
    return f"diffclient: {text}" if isinstance(error, DiffClientError) else f"diffclient: stopped ({text})"


class Progress:
    """How far an update is; each call raises Stopped if someone asked to stop."""

    def __init__(self, stop: StopSign) -> None:
        self._stop, self._show = stop, ProgressLine()

    def stage(self, stage: Stage) -> None:
        """Show the stage that begins; from the switch on, a request to stop waits for the end."""
        self._stop.check()
        if stage == "switch":
            self._stop.no_more_hurry()
        self._show(stage)

    def received(self, source: Source, done: int) -> None:
        """Show how much of a blob has arrived, `done` in bytes."""
        self._stop.check()
        share = 100 * done // max(1, source.length)
        self._show(f"download {source.digest[:12]}  {share:3d} % of {source.length:,} bytes")


class ProgressLine:
    """How far something long is: on a terminal one line that is replaced, and elsewhere a plain line now and then."""

    def __init__(self, pace: Pace | None = None) -> None:
        self._pace = pace or Pace()

    def __call__(self, text: str) -> None:
        """Show it, or leave it out where a line came just before."""
        with contextlib.suppress(OSError):
            if sys.stderr.isatty():
                _replace_line(text)
            elif self._pace.due():
                print(printable(text), file=sys.stderr, flush=True)


def _replace_line(text: str) -> None:
    """Replace the last line of standard error, if that is a terminal."""
    with contextlib.suppress(OSError):
        if sys.stderr.isatty():
            print(f"\r\x1b[K{printable(text)}", end="", file=sys.stderr, flush=True)


def _figures(
    metric: Metric | None, errors: int | None, total: int | None, expected: int | None, drift: int | None
) -> str:
    """Say how well a version does, in its metric's words, or that it was not measured."""
    if metric is None or errors is None or not total or expected is None:
        return ", not measured: this model has no probes"
    measured = Errors(errors, total).error_rate_ppm / 1e4
    drifted = "" if drift is None else f", drift {drift / 1e4:+.2f} points"
    counted = f"{errors:,} of {total:,} {metric.counts}"
    return f", {metric.name} {measured:.2f} % measured ({counted}), {expected / 1e4:.2f} % expected{drifted}"
