"""How a version reaches a channel, as it is typed: at once, or in stages behind a gate."""

import re
from typing import Annotated, Any

import typer

from diffserver.choices.channels import STABLE
from diffserver.errors import Invalid

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Stages = Annotated[
    str | None,
    typer.Option(
        "--stages",
        metavar="1%,10%,50%,100%",
        help="Lead devices there stage by stage: shares, counts (20) or attributes (group=pilots); the last is 100%.",
    ),
]
Gate = Annotated[
    str,
    typer.Option(
        "--gate",
        metavar="field|failures|none",
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
    channel: str = STABLE,
    stages: str | None = None,
    gate: str = "field",
    wait: str = "0s",
    window: str | None = None,
    by: str | None = None,
    measure: str | None = None,
    margin: float = 0.5,
    least: int = 10,
    most_failures: float = 0.02,
) -> dict[str, Any]:
    """Return the members of a request that say how a version reaches a channel; raises Invalid."""
    conditions = {
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


def seconds(text: str) -> int:
    """Return the seconds that a text as 24h, 90m or 7d says; raises Invalid."""
    parts = re.fullmatch(r"(\d{1,8})([smhd])", text)
    if parts is None:
        raise Invalid(f"{text!r} is no length of time", "give it as 90m, 24h or 7d")
    return int(parts[1]) * UNITS[parts[2]]
