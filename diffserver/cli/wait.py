"""Wait for a training, on whichever machine it runs."""

import time
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from diffserver.cli.output import progress_console
from diffserver.cli.remote import Remote
from diffserver.errors import Conflict

FOLLOW_SECONDS = 0.5


def follow(remote: Remote, training: dict[str, Any]) -> dict[str, Any]:
    """Show the training's progress until it ends; raises Conflict if it ends without a candidate."""
    number = training["id"]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=progress_console) as progress:
        bar = progress.add_task(f"training {number}: waits for a worker", total=1.0)
        try:
            while training["state"] in ("queued", "running"):
                time.sleep(FOLLOW_SECONDS)
                training = remote.get(f"/v1/trainings/{number}")
                message = training["waiting"] or training["message"] or training["state"]
                progress.update(bar, completed=training["progress"], description=f"training {number}: {message}")
        except KeyboardInterrupt:
            progress_console.print(f"Training {number} goes on; to end it: diffserver cancel {number}")
            raise
    if training["state"] != "done":
        raise Conflict(
            f"training {number} {training['state']}: {training['error'] or 'on request'}",
            "see the worker's log",
        )
    return training
