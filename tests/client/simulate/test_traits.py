"""What devices of a simulated fleet are like: the same for the same seed, and as many of each kind as was asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from statistics import fmean, stdev

import pytest

from diffclient.measure.error_count import Errors
from diffclient.simulate.plan import Attribute, Effect, Fault, Plan
from diffclient.simulate.traits import counted, fault, is_offline, traits

REGIONS = Attribute("region", (("eu", 0.3), ("us", 0.7)))
PLAN = Plan(4000, seed=3, attributes=(REGIONS,), offline=0.2, offline_days=3, metered=0.3, counting=0.1)
FLEET = [traits(PLAN, number) for number in range(PLAN.devices)]


def test_a_seed_makes_the_same_devices() -> None:
    assert [traits(PLAN, number) for number in range(100)] == FLEET[:100]
    assert traits(replace(PLAN, seed=4), 0) != FLEET[0]


def test_shares_are_met() -> None:
    assert Counter(device.attributes["region"] for device in FLEET)["eu"] / len(FLEET) == pytest.approx(0.3, abs=0.03)
    assert fmean(device.metered for device in FLEET) == pytest.approx(0.3, abs=0.03)
    assert fmean(device.counts for device in FLEET) == pytest.approx(0.1, abs=0.02)
    assert fmean(device.rate for device in FLEET) == pytest.approx(8, abs=0.4)


def test_devices_are_offline_for_days_on_end() -> None:
    days = [[is_offline(PLAN, number, day) for day in range(30)] for number in range(1000)]
    assert fmean(map(fmean, days)) == pytest.approx(0.2, abs=0.03)
    changes = sum(one != next_one for device in days for one, next_one in pairwise(device))
    assert changes < 1000 * 29 * 2 * 0.2 * 0.8 / 2, "with a chance of its own each day they would be twice as many"


def test_faults_are_those_of_their_version() -> None:
    plan = replace(PLAN, faults=(Fault("version", 0.5, 4), Fault("network", 0.1)))
    causes = {version: Counter(fault(plan, number, version, 0) for number in range(4000)) for version in (3, 4)}
    assert causes[3]["version"] == 0
    assert causes[3]["network"] / 4000 == pytest.approx(0.1, abs=0.02)
    assert causes[4]["version"] / 4000 == pytest.approx(0.5, abs=0.03)


def rates(plan: Plan, version: int, day: float = 0) -> list[float]:
    return [counted(plan, device, version, day).error_rate_ppm / 1e4 for device in FLEET]


@pytest.mark.parametrize(
    ("effect", "points"), [(Effect(4, 5, 0.3), 1.5), (Effect(4, 5, attribute=("region", "eu")), 1.5), (Effect(4, 5), 5)]
)
def test_a_version_changes_the_error_rate_of_some(effect: Effect, points: float) -> None:
    plan = replace(PLAN, effects=(effect,), words=2000)
    before, after = rates(plan, 3), rates(plan, 4)
    assert fmean(after) - fmean(before) == pytest.approx(points, abs=0.2)
    assert stdev(before) == pytest.approx(PLAN.spread, abs=0.4)


def test_time_changes_it_for_all() -> None:
    plan = replace(PLAN, drift=0.1, words=2000)
    assert fmean(rates(plan, 3, day=20)) - fmean(rates(plan, 3)) == pytest.approx(2, abs=0.1)


def test_a_day_is_counted_once() -> None:
    assert counted(PLAN, FLEET[0], 3, 1) == counted(PLAN, FLEET[0], 3, 1)
    assert len({counted(PLAN, FLEET[0], 3, day) for day in range(20)}) > 5
    assert counted(replace(PLAN, rate=0, spread=0), replace(FLEET[0], rate=0), 3, 1) == Errors(0, 200)
