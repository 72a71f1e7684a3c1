"""What befalls a fleet: days before, a bad version and its recall, a good version, and devices that come back late.

On a day some devices count errors in the field, and all that are there poll. Every fifth device goes away once the bad
version has come to its first devices, and is there again when the good one has reached the others.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx2
from sqlalchemy import func, select

from diffclient.measure.error_count import Errors
from diffclient.simulate.fleet import Device, Fleet
from diffclient.simulate.polled import Polled
from diffserver.storage.database import reading
from diffserver.storage.tables import Device as DeviceRow
from diffserver.storage.tables import Report
from tests.client.lineage import MODEL
from tests.hostile.home_server import HomeServer, until

Figures = dict[str, Any]

FIRST, BAD, GOOD = 1, 2, 3
"""The versions, by number."""
STAGES = ["10%", "50%", "100%"]
DAYS_BEFORE, MOST_DAYS = 2, 20
LOOK_SECONDS = 120.0
"""How long a look at a rollout may take to come."""


class Story:
    """A fleet's life, and what came of it."""

    def __init__(self, home: HomeServer, operator: httpx2.Client, fleet: Fleet) -> None:
        self._home, self._operator, self._fleet = home, operator, fleet
        self._there: Sequence[Device] = fleet.devices
        self._day = 0
        self._touched: set[int] = set()
        self._restored: dict[int, Polled] = {}
        self._counted = Errors(0, 0)
        self._rollouts: list[Figures] = []

    def before(self) -> None:
        """Let all devices install the first version, and some count errors with it."""
        self._poll_until(FIRST)
        for _ in range(DAYS_BEFORE):
            self._live()

    def bad(self) -> None:
        """Publish the bad version in stages; then let its devices return."""
        number = self._publish(BAD)
        self._live()
        self._there = [device for device in self._fleet.devices if device.traits.number % 5]
        self._live_until_it_ends(number)
        self._poll_until(FIRST)

    def good(self) -> None:
        """Publish the good version in stages."""
        self._live_until_it_ends(self._publish(GOOD))
        self._poll_until(GOOD)

    def latecomers(self) -> None:
        """Let the devices come back that were away; then all poll once more, and say what they have still to say."""
        self._there = self._fleet.devices
        self._poll_until(GOOD)
        self._poll(self._there)

    def figures(self) -> Figures:
        """Return what came of it."""
        bad, good = self._rollouts
        devices_say, server_says = self._devices_say(), self._server_says()
        returns = self._restored.values()
        metered = [number for number in self._restored if self._fleet.devices[number].traits.metered]
        return {
            "touched_by_bad": len(self._touched),
            "chosen_for_bad": bad["chosen"],
            "bad_stopped_in": bad["stage"] if bad["state"] == "aborted" else None,
            "bad_stopped_because": bad["reason"],
            "restored": len(self._restored),
            "restored_metered": len(metered),
            "return_bytes": sum(polled.fetched for polled in returns),
            "good_ended": good["state"],
            "reached_by_good": self._fleet.versions()[GOOD],
            "away": sum(device.traits.number % 5 == 0 for device in self._fleet.devices),
            "days": self._day,
            "errors_counted": self._counted.errors,
            "counts_exact": server_says == devices_say,
            "devices_say": devices_say,
            "server_says": server_says,
        }

    def _publish(self, version: int) -> int:
        """Publish a version in stages, behind the gate; return the rollout's number."""
        candidate = self._home.record(version).id
        answer = self._operator.post(f"/v1/candidates/{candidate}/publish", json={"stages": STAGES})
        answer.raise_for_status()
        return int(self._operator.get("/v1/rollouts").json()["items"][-1]["id"])

    def _live(self) -> None:
        """Live for a day."""
        counted = self._fleet.report_field(self._day)
        self._counted += counted
        self._poll(self._there)

    def _poll(self, devices: Sequence[Device]) -> None:
        ran = {device.traits.number: device.version for device in devices}
        for device, polled in zip(devices, self._fleet.poll_all(self._day, devices), strict=True):
            number = device.traits.number
            if device.version == BAD:
                self._touched.add(number)
            elif ran[number] == BAD:
                self._restored[number] = polled
        self._day += 1

    def _poll_until(self, version: int) -> None:
        """Let those devices that are there poll until they run a version: the network fails some of them."""
        for _ in range(MOST_DAYS):
            others = [device for device in self._there if device.version != version]
            if not others:
                return
            self._poll(others)

    def _live_until_it_ends(self, number: int) -> None:
        for _ in range(MOST_DAYS):
            shown = self._looked_at(number)
            if shown["state"] != "running":
                self._rollouts.append(shown)
                return
            verdict = shown["verdict"]
            sys.stderr.write(f"\nday {self._day}, {shown['stage']}: {verdict['finding']}, {verdict['reason']}\n")
            self._live()
        raise SystemExit(f"the rollout did not end within {MOST_DAYS} days")

    def _looked_at(self, number: int) -> Figures:
        """Return a rollout, once what devices said by now has been looked at."""
        shown: Figures = {}
        now = time.time()

        def is_looked_at() -> bool:
            shown.update(self._operator.get(f"/v1/rollouts/{number}").json())
            return shown["state"] != "running" or _seconds(shown["verdict"]) > now

        until(is_looked_at, seconds=LOOK_SECONDS)
        return shown

    def _server_says(self) -> Figures:
        """Return what the tables say of the fleet."""
        digest = self._home.lineage.digest
        installed = select(func.count(Report.device_id.distinct())).where(Report.stage == "installed")
        field = select(func.sum(Report.errors), func.sum(Report.total)).where(Report.stage == "field")
        runs = select(func.count()).where(DeviceRow.model == MODEL, DeviceRow.digest == digest(GOOD))
        back = installed.where(Report.from_digest == digest(BAD), Report.to_digest == digest(FIRST))
        with reading(self._home.engine) as session:
            return {
                "touched": session.scalar(installed.where(Report.to_digest == digest(BAD))),
                "returned": session.scalar(back),
                "at the good version": session.scalar(runs),
                "errors": tuple(session.execute(field).one()),
            }

    def _devices_say(self) -> Figures:
        return {
            "touched": len(self._touched),
            "returned": len(self._restored),
            "at the good version": self._fleet.versions()[GOOD],
            "errors": (self._counted.errors, self._counted.total),
        }


def _seconds(verdict: Figures | None) -> float:
    """Return when a verdict was given, in seconds since 1970; 0 if none was."""
    return datetime.fromisoformat(verdict["at"]).timestamp() if verdict else 0.0
