"""How a candidate is to be published, as it was typed."""

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
"""The form's fields."""

HOUR = 3600


@dataclass(frozen=True)
class Plan:
    """A channel, the stages in which it is led to the version, and what was typed."""

    channel: str
    stages: tuple[Stage, ...]
    typed: Given

    def body(self) -> dict[str, Any]:
        """Return the API's request; raises Invalid."""
        wait = fields.number(self.typed, "wait_hours")
        conditions = {
            "evidence": fields.text(self.typed, "gate"),
            "wait_seconds": None if wait is None else int(HOUR * wait),
            "window": fields.text(self.typed, "window"),
            "by": fields.text(self.typed, "by"),
            "margin": fields.number(self.typed, "margin"),
            "least": fields.whole(self.typed, "least"),
            "most_failures": fields.percent(self.typed, "most_failures"),
            "only": fields.parts(self.typed, "only") or None,
        }
        said = {name: value for name, value in conditions.items() if value is not None}
        led = {"channel": self.channel, "stages": [stage.text for stage in self.stages], "conditions": said}
        return {**led, "force": "force" in self.typed}

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
