"""Bring a diff that was trained elsewhere to the server, and have a candidate made of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group

from diffserver.choices.methods import GIVEN
from diffserver.cli.output import evaluation_table, line, travel_line
from diffserver.cli.remote import Remote
from diffserver.cli.train.checkpoints import send
from diffserver.cli.wait import follow
from diffserver.errors import Invalid

FIGURES = '{"test set": {"errors": 3, "total": 400}, …}'


def make(remote: Remote, spec: Mapping[str, Any], path: Path, evaluation: Path | None) -> Any:
    """Return the candidate made of a diff's file, with what its maker measured; raises Invalid, Conflict."""
    _require_payload(path)
    request = {"method": GIVEN, "budget": 1.0, "measured": _figures(evaluation)}
    training = remote.post("/v1/trainings", {**spec, **request, "checkpoint": send(remote, "checkpoints/diffs", path)})
    return remote.get(f"/v1/candidates/{follow(remote, training)['candidate_id']}")


def described(candidate: Mapping[str, Any]) -> Group:
    """Return a candidate's error rates by test set, what a device fetches for it, and its notes."""
    table = evaluation_table(candidate["evaluation"], candidate["metric"])
    return Group(table, *map(line, (travel_line(candidate), *candidate["notes"])))


def _require_payload(path: Path) -> None:
    # Imported late: numpy, which no other command needs.
    from diffclient.payload import frame

    try:
        with path.open("rb") as file:
            start = file.read(frame.HEADER.size)
    except OSError as error:
        raise Invalid(f"cannot read {path}: {error.strerror}", "pass the path of a diff (.ndiff)") from error
    if not frame.begins(start):
        raise Invalid(f"{path} is not a diff", "pass the .ndiff that was saved; weights come with --from-checkpoint")


def _figures(evaluation: Path | None) -> dict[str, Any]:
    """Return the errors in an evaluation's file by test set; what they may be is checked by the server."""
    if evaluation is None:
        return {}
    try:
        figures = json.loads(evaluation.read_text())
    except (OSError, ValueError) as error:
        raise Invalid(f"cannot read {evaluation}: {error}", f"write JSON like {FIGURES}") from error
    if not isinstance(figures, dict):
        raise Invalid(f"{evaluation} has no figures by test set", f"write JSON like {FIGURES}")
    return figures
