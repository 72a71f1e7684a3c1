"""How a version is to reach a channel, as it was typed, and how many devices and bytes that takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffserver.choices.channels import STABLE
from diffserver.console import fields
from diffserver.console.fields import Given
from diffserver.rollouts.plan import Conditions, Stage, stages_of

KNOWN = (
    "channel", "stages", "only", "gate", "wait_hours", "window", "by", "margin", "least", "most_failures", "force"
)  # fmt: skip
"""The fields of `way.html`, and whether a candidate is published in spite of its refusals."""

HOUR = 3600


@dataclass(frozen=True)
class Plan:
    """A channel, the stages in which it is led to the version, and what was typed."""

    channel: str
    stages: tuple[Stage, ...]
    typed: Given

    def body(self) -> dict[str, Any]:
        """Return the API's request to publish; raises Invalid."""
        return {**self.way(), "force": "force" in self.typed}

    def way(self) -> dict[str, Any]:
        """Return what the API is told of the way: what was not typed is left to its defaults. Raises Invalid."""
        wait = fields.number(self.typed, "wait_hours")
        conditions = {
            "evidence": fields.text(self.typed, "gate"),
            "wait_seconds": None if wait is None else round(HOUR * wait),
            "window": fields.text(self.typed, "window"),
            "by": fields.text(self.typed, "by"),
            "margin": fields.number(self.typed, "margin"),
            "least": fields.whole(self.typed, "least"),
            "most_failures": fields.percent(self.typed, "most_failures"),
            "only": fields.parts(self.typed, "only") or None,
        }
        said = {name: value for name, value in conditions.items() if value is not None}
        stages = {"stages": [stage.text for stage in self.stages]} if self.stages else {}
        return {"channel": self.channel, "conditions": said, **stages}

    def terms(self) -> Conditions:
        """Return what must hold before the next stage, with what is usual where nothing was typed; raises Invalid."""
        said = self.body()["conditions"]
        return Conditions(**said | {"only": tuple(said.get("only", ()))})

    @property
    def first(self) -> str:
        """The stage that comes first; without stages all devices."""
        return self.stages[0].text if self.stages else "100%"


def plan_of(typed: Mapping[str, str]) -> Plan:
    """Return the plan that was typed; raises Invalid."""
    stages = fields.parts(typed, "stages")
    known = {name: typed[name] for name in KNOWN if typed.get(name)}
    return Plan(fields.text(typed, "channel") or STABLE, stages_of(stages) if stages else (), known)
