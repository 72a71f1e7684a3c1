"""A second model at the visited server, for a publisher to steer: devices of the simulation, and two candidates."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diffclient.simulate.fleet import Fleet
from diffclient.simulate.plan import Attribute, Plan
from tests.client.lineage import CLASSIFIER, MODEL, Lineage
from tests.console.fleet import Visited
from tests.server import factories
from tests.server.console.filled import TRIAL

DEVICES, REAL = 100, 2
REGIONS = Attribute("region", (("eu", 0.7), ("us", 0.3)))
REFUSAL = "base loses 6.25 points of error rate, over the 5.00 that are allowed"


def evaluation(base: int, artists: int) -> dict[str, Any]:
    """What a candidate errs on two test sets, and its parent."""
    counted = {"base": (12, base), "artists": (268, artists)}

    def side(errors: int) -> dict[str, int]:
        return {"errors": errors, "total": 400}

    return {name: {"parent": side(before), "candidate": side(now)} for name, (before, now) in counted.items()}


def tried(drift: float, mean: float) -> list[dict[str, Any]]:
    """The trial that a candidate came of."""
    return [{**TRIAL, "method": "sparse", "drift": drift, "mean_error_rate": mean, "chosen": True}]


@dataclass
class Steered:
    """Devices at version 1, and the numbers of two candidates for version 2."""

    visited: Visited
    folder: Path
    fleets: list[Fleet]
    good: int
    worse: int
    day: int = 0

    def live(self, days: int) -> None:
        """Let days pass: devices count errors in the field, poll, do as they are told and report."""
        for _ in range(days):
            self.day += 1
            for fleet in self.fleets:
                fleet.report_field(self.day)
                fleet.poll_all(self.day)
        self._settle()

    def join(self, plan: Plan) -> None:
        """Enrol devices, which take their first version."""
        fleet = Fleet(plan, self.visited.url, MODEL, self.folder / str(len(self.fleets)), CLASSIFIER.score)
        root = self.visited.service.public.get("/v1/tuf/1.root.json").content
        fleet.enroll(self.visited.tokens["admin"], root)
        fleet.poll_all(self.day)
        self.fleets.append(fleet)
        self._settle()

    def versions(self, *regions: str) -> Counter[int | None]:
        """How many devices of some regions run each version."""
        devices = [device for fleet in self.fleets for device in fleet.devices]
        return Counter(device.version for device in devices if device.traits.attributes["region"] in regions)

    def _settle(self) -> None:
        """Let devices poll until the server knows what they run: a busy one leaves that to the next poll."""
        path = f"/v1/models/{MODEL}/devices?limit=500"
        for _ in range(20):
            known = Counter(row["version"] for row in self.visited.service.operator.get(path).json()["items"])
            if known == self.versions("eu", "us"):
                return
            for fleet in self.fleets:
                fleet.poll_all(self.day)
        raise AssertionError(f"the server has devices at {known}, which run {self.versions('eu', 'us')}")


def steered(visited: Visited, folder: Path) -> Steered:
    """Publish a base and an update, let devices take them, and record what may come next."""
    lineage, service = Lineage(folder / "lineage", CLASSIFIER).grow(2), visited.service
    for number in (0, 1):
        service.publish(factories.of_lineage(lineage, number, service.objects))
    made_of_it = factories.of_lineage(lineage, 2, service.objects)
    good = replace(made_of_it, evaluation=evaluation(14, 38), tried=tried(0.38, 6.5))
    worse = replace(made_of_it, evaluation=evaluation(37, 31), tried=tried(2.38, 8.5), refusals=[REFUSAL])
    made = Steered(visited, folder, [], *(service.record(new).id for new in (good, worse)))
    made.join(Plan(DEVICES, real=REAL, attributes=(REGIONS,), counting=1.0, spread=1.0))
    made.live(3)
    return made
