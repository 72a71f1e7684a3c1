"""How a version is to reach a channel, as it was typed, and how many devices and bytes that takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from diffserver.choices.channels import STABLE
from diffserver.console import fields
from diffserver.console.fields import Given
from diffserver.rollouts.plan import Stage, stages_of

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

    @property
    def for_some(self) -> bool:
        """Whether it is for devices of some attributes only."""
        return bool(fields.parts(self.typed, "only"))

    def first(self, devices: int) -> int | None:
        """Return how many of so many devices the first stage comes to; None if that is not known beforehand."""
        stage = self.stages[0] if self.stages else Stage("100%", share=1.0)
        if stage.share is not None:
            return ceil(devices * stage.share)
        return None if stage.count is None else min(stage.count, devices)


def plan_of(typed: Mapping[str, str]) -> Plan:
    """Return the plan that was typed; raises Invalid."""
    stages = fields.parts(typed, "stages")
    known = {name: typed[name] for name in KNOWN if typed.get(name)}
    return Plan(fields.text(typed, "channel") or STABLE, stages_of(stages) if stages else (), known)
