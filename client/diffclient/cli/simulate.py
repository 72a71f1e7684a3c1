"""The command `diffclient simulate`."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from diffclient.cli import output
from diffclient.errors import NoRoot
from diffclient.measure.probation import load_score, score_speech
from diffclient.network.device_api import base_url
from diffclient.simulate import options
from diffclient.simulate.fleet import Fleet
from diffclient.simulate.run import Day, run, table
from diffclient.trust.verified_metadata import check_root


def simulate(arguments: argparse.Namespace) -> None:
    """Let a fleet live, and print what comes of it; raises DiffClientError by cause."""
    plan, root = options.plan(arguments), _root(arguments.root)

    progress = output.ProgressLine()

    def tell(day: Day) -> None:
        if not arguments.json:
            output.print_result(False, {}, str(day))

    with _folder(arguments.folder) as folder:
        fleet = Fleet(
            plan,
            base_url(arguments.server),
            arguments.model,
            folder,
            load_score(arguments.score) if arguments.score else score_speech,
            arguments.channel,
            tell=lambda what, done, of: progress(f"{what} {done:,} of {of:,} devices"),
        )
        fleet.enroll(arguments.token, root)
        days = run(fleet, arguments.days, arguments.day_seconds, tell)
        value = {"devices": plan.devices, "real": plan.real, "days": [day.to_json() for day in days]}
        output.print_result(arguments.json, value, *table(fleet, days))


def _root(path: Path) -> bytes:
    try:
        root = path.read_bytes()
    except OSError as error:
        raise NoRoot(f"{path}: {error.strerror}; give the server's root.json") from error
    check_root(root)
    return root


@contextlib.contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    """Yield the folder for the stores; one that nobody gave is removed."""
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="diffclient-fleet-") as folder:
        yield Path(folder)
