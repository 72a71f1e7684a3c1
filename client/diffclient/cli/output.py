"""What the command line says: a line for people, a JSON object for scripts, progress for a terminal.

Standard error may be gone, or on a full disk: then there is nobody left to tell, and nothing ends for that.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import asdict
from typing import Any

from diffclient.errors import DiffClientError, ServerRefused, UpdateFailed
from diffclient.network.fetch import Source
from diffclient.network.messages import Enrolment, plain
from diffclient.network.proxies import hidden
from diffclient.store.policy import Policy
from diffclient.store.state import Installed, State
from diffclient.update.interrupt import StopSign
from diffclient.update.outcome import Outcome, Stage

_LINE_LIMIT = 2000


def say(as_json: bool, value: dict[str, Any], line: str) -> None:
    """Print the value as one line of JSON, or else the line; raises OSError where nobody takes it."""
    _progress("")
    print(json.dumps(value) if as_json else line, flush=True)


def complain(line: str) -> None:
    """Print a line where errors go."""
    _progress("")
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


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
    if outcome.action == "withheld":
        return "something new is there, but only a snapshot leads to it, which the policy does not allow on this link"
    if outcome.action == "none":
        return "nothing is published yet" if outcome.version is None else f"up to date: version {outcome.version}"
    figures = _figures(outcome.wer_ppm, outcome.expected_wer_ppm, outcome.drift_ppm)
    detour = f", by another way, since the first one failed at stage {outcome.detour}" if outcome.detour else ""
    return f"now at version {outcome.version}{figures}; {outcome.downloaded_bytes:,} bytes fetched{detour}"


def version_line(version: Installed | None) -> str:
    """Return a version, its digest and how well it does."""
    if version is None:
        return "nothing"
    manifest = version.manifest
    figures = _figures(version.wer_ppm, manifest.wer_ppm, version.drift_ppm)
    return f"version {manifest.to_version}, {version.digest}{figures}"


def version_json(version: Installed | None) -> dict[str, Any] | None:
    """Return the same for scripts."""
    if version is None:
        return None
    return {
        "version": version.manifest.to_version,
        "digest": version.digest,
        "errors": version.measured.errors,
        "words": version.measured.words,
        "wer_ppm": version.wer_ppm,
        "expected_wer_ppm": version.manifest.wer_ppm,
        "drift_ppm": version.drift_ppm,
        "max_drift_ppm": version.manifest.max_drift_ppm,
    }


def status_lines(state: State, enrolment: Enrolment | None) -> str:
    """Return what a device runs and knows, a line each."""
    server = f"{enrolment.model} ({enrolment.channel}) from {enrolment.server}" if enrolment else "not enrolled"
    lines = [
        f"model    {server}",
        f"in use   {version_line(state.current)}",
        f"kept     {version_line(state.previous)}",
    ]
    if state.held_back:
        lines.append(f"held     {state.held_back}, until the server's target changes or `update --force`")
    lines += [f"unfit    {found.digest}: {found.reason}" for found in state.unfit]
    if state.failure:
        lines.append(f"failed   {state.failure.at} at stage {state.failure.stage}: {state.failure.reason}")
    if state.outbox:
        lines.append(f"reports  {len(state.outbox)} waiting for the server")
    return "\n".join(lines)


def status_json(state: State, enrolment: Enrolment | None) -> dict[str, Any]:
    """Return the same for scripts; the token stays where it is."""
    names = ("server", "device_id", "name", "model", "channel")
    return {
        "enrolled": enrolment is not None,
        **{name: getattr(enrolment, name, None) for name in names},
        "current": version_json(state.current),
        "previous": version_json(state.previous),
        "held_back": state.held_back,
        "failure": state.to_json()["failure"],
        "unfit": [asdict(found) for found in state.unfit],
        "reports_waiting": len(state.outbox),
    }


def policy_lines(policy: Policy) -> str:
    """Return what updates may cost and how they come, a line each."""
    cap = "any" if policy.max_bytes is None else f"{policy.max_bytes:,}"
    time = f"{policy.max_seconds:,} s" if policy.max_seconds else "any"
    return "\n".join(
        [
            f"snapshots  {policy.full_fallback}",
            f"bytes      {cap} an update",
            f"mirrors    {', '.join(policy.mirrors) or 'none'}",
            f"time       {time} an update",
            f"speed      {policy.least_speed:,} bytes a second at least, over {policy.patience:g} s",
            f"proxy      {hidden(policy.proxy) if policy.proxy else 'as the environment says'}",
            f"ca file    {policy.ca_file or 'none beside the system'}",
        ]
    )


def policy_json(policy: Policy) -> dict[str, Any]:
    """Return the same for scripts; a proxy's password stays where it is."""
    return policy.to_json() | {"proxy": hidden(policy.proxy) if policy.proxy else None}


def error_json(error: BaseException) -> dict[str, Any]:
    """Return an error for scripts: its type, its message and, of a failed update, the stage and cause."""
    told: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, UpdateFailed):
        told |= {"stage": error.stage, "cause": type(error.cause).__name__}
    if isinstance(error, ServerRefused):
        told |= {"status": error.status, "title": error.title, "remedy": error.remedy}
    return told


def error_line(error: BaseException) -> str:
    """Return an error as one line."""
    text = plain(str(error), _LINE_LIMIT) or type(error).__name__
    return f"diffclient: {text}" if isinstance(error, DiffClientError) else f"diffclient: stopped ({text})"


class Progress:
    """A line that says how far an update is, on terminals only; every sign of life is a place to stop."""

    def __init__(self, stop: StopSign) -> None:
        self._stop = stop

    def stage(self, stage: Stage) -> None:
        """Hear of the next step; from the switch on, what is done is only told."""
        self._stop.check()
        if stage == "switch":
            self._stop.no_more_hurry()
        _progress(stage)

    def received(self, source: Source, done: int) -> None:
        """Hear how much of a blob is here."""
        self._stop.check()
        share = 100 * done // max(1, source.length)
        _progress(f"download {source.digest[:12]}  {share:3d} % of {source.length:,} bytes")


def _progress(text: str) -> None:
    """Replace the terminal's last line, if it is a terminal."""
    with contextlib.suppress(OSError):
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _figures(wer: int | None, expected: int | None, drift: int | None) -> str:
    if wer is None or expected is None:
        return ""
    drifted = "" if drift is None else f", drift {drift / 1e4:+.2f} points"
    return f", WER {wer / 1e4:.2f} % measured, {expected / 1e4:.2f} % expected{drifted}"
