"""A second model at the visited server, for a publisher to steer: devices of the simulation, and two candidates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from diffclient.simulate.fleet import Fleet
from diffclient.simulate.plan import Attribute, Plan
from tests.client.lineage import CLASSIFIER, MODEL, Lineage
from tests.console.fleet import Visited
from tests.server import factories

DEVICES, REAL = 160, 2
REGIONS = Attribute("region", (("eu", 0.5), ("us", 0.5)))
REFUSAL = "base loses 6.20 points of WER, and 5.00 are allowed"


@dataclass
class Steered:
    """Devices at version 1, and the numbers of two candidates for version 2."""

    fleet: Fleet
    good: int
    worse: int
    day: float = 0.0

    def live(self, days: int) -> None:
        """Let days pass: devices count errors in the field, poll, do as they are told and report."""
        for _ in range(days):
            self.day += 1
            self.fleet.report_field(self.day)
            self.fleet.poll_all(self.day)

    def region(self, name: str) -> list[int | None]:
        """The versions that the devices of a region run."""
        return [one.version for one in self.fleet.devices if one.traits.attributes["region"] == name]


def steered(visited: Visited, folder: Path) -> Steered:
    """Publish a base and an update, let devices take them, and record what may come next."""
    lineage, service = Lineage(folder / "lineage", CLASSIFIER).grow(2), visited.service
    for number in (0, 1):
        service.publish(factories.of_lineage(lineage, number, service.objects))
    good = factories.of_lineage(lineage, 2, service.objects)
    worse = replace(good, refusals=[REFUSAL], notes=["drift is not known"])
    plan = Plan(DEVICES, real=REAL, attributes=(REGIONS,), counting=1.0, spread=1.0)
    fleet = Fleet(plan, visited.url, MODEL, folder / "devices", CLASSIFIER.score)
    fleet.enroll(visited.tokens["admin"], service.public.get("/v1/tuf/1.root.json").content)
    made = Steered(fleet, *(service.record(new).id for new in (good, worse)))
    fleet.poll_all(0)
    made.live(2)
    return made
