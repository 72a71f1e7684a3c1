"""How a version reaches a channel, as it is typed: at once, or in stages behind a gate."""

from typing import Annotated, Any, get_args

import typer

from diffserver.choices import rollouts
from diffserver.cli.durations import seconds

STAGES, NO_WAIT = ",".join(rollouts.STAGES), f"{rollouts.WAIT_SECONDS}s"
"""What holds where nothing is typed, as it would be typed."""

Stages = Annotated[
    str | None,
    typer.Option(
        "--stages",
        metavar=STAGES,
        help="Lead devices there stage by stage: shares, counts (20) or attributes (group=pilots); the last is 100%.",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="NAME=VALUE",
        help="For devices with this attribute only, as region=eu; may be repeated. Another value of a name is an "
        "alternative, another name a further condition. After the last stage `rollouts approve` moves the channel.",
    ),
]
Gate = Annotated[
    str,
    typer.Option(
        "--gate",
        metavar="|".join(get_args(rollouts.Evidence)),
        help="What a stage is judged by: errors that devices count in the field, and failures; failures; nothing.",
    ),
]
Wait = Annotated[str, typer.Option("--wait", metavar="24h", help="The least time that a stage lasts.")]
Hours = Annotated[
    str | None,
    typer.Option("--window", metavar="22:00-05:00", help="Hours, in UTC, in which devices are given the version."),
]
By = Annotated[str | None, typer.Option("--by", help="Look for harm by the values of this attribute of devices, too.")]
Measure = Annotated[
    str | None, typer.Option("--measure", help="What applications count in the field. [default: the model's metric]")
]
Margin = Annotated[float, typer.Option("--margin", help="The worsening in the field that is borne, in points.")]
Least = Annotated[int, typer.Option("--least", help="Devices that must have reported, with the version and without.")]
MostFailures = Annotated[float, typer.Option("--most-failures", help="The share of devices that may fail with it.")]


def body(
    channel: str,
    stages: str | None,
    only: list[str] | None,
    gate: str,
    wait: str,
    window: str | None,
    by: str | None,
    measure: str | None,
    margin: float,
    least: int,
    most_failures: float,
) -> dict[str, Any]:
    """Return the members of a request that say how a version reaches a channel; raises Invalid."""
    conditions = {
        "only": only or [],
        "evidence": gate,
        "wait_seconds": seconds(wait),
        "window": window,
        "by": by,
        "measure": measure,
        "margin": margin,
        "least": least,
        "most_failures": most_failures,
    }
    parts = [part.strip() for part in stages.split(",")] if stages else []
    return {"channel": channel, "stages": parts, "conditions": conditions}
