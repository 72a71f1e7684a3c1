"""Wait for a training, on whichever machine it runs."""

import time
from typing import Any

from diffserver.cli.output import warn
from diffserver.cli.progress import bars
from diffserver.cli.remote import Remote
from diffserver.errors import Conflict

FOLLOW_SECONDS = 0.5


def follow(remote: Remote, training: dict[str, Any]) -> dict[str, Any]:
    """Show the training's progress until it ends; raises Conflict if it ends without a candidate."""
    training = watch(remote, training)
    if training["state"] != "done":
        raise Conflict(
            f"training {training['id']} {training['state']}: {why_none(training)}",
            f"see its log: diffserver logs {training['id']}",
        )
    return training


def why_none(training: dict[str, Any]) -> str:
    """Return the reason for which a training has no candidate."""
    return training["error"] or "on request"


def watch(remote: Remote, training: dict[str, Any]) -> dict[str, Any]:
    """Show the training's progress until it ends, with or without a candidate."""
    number = training["id"]
    with bars() as shown:
        bar = shown.add(f"training {number}: waits for a worker")
        try:
            while training["state"] in ("queued", "running"):
                time.sleep(FOLLOW_SECONDS)
                training = remote.get(f"/v1/trainings/{number}")
                message = training["waiting"] or training["message"] or training["state"]
                bar.move(training["progress"], f"training {number}: {message}")
        except KeyboardInterrupt:
            warn(f"Training {number} goes on; to end it: diffserver cancel {number}")
            raise
    return training
