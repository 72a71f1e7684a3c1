"""A simulated fleet at a real server, over a socket: what its devices say is what they are."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from diffclient.cli.main import main
from diffclient.simulate.fleet import Fleet
from diffclient.simulate.plan import Attribute, Effect, Fault, Plan
from tests.client.lineage import CLASSIFIER, MODEL
from tests.hostile.home_server import HomeServer

SCORE = ["--score", "tests.client.lineage:classify"]
REGIONS = Attribute("region", (("eu", 0.5), ("us", 0.5)))


@pytest.fixture
def operator(home: HomeServer) -> Iterator[httpx2.Client]:
    with home.serving() as operator:
        yield operator


def enrolled(home: HomeServer, operator: httpx2.Client, plan: Plan) -> Fleet:
    url = str(operator.base_url).rstrip("/")
    fleet = Fleet(plan, url, MODEL, home.folder.parent / "fleet", CLASSIFIER.score)
    fleet.enroll(home.operator, (home.folder / "root.json").read_bytes())
    return fleet


def pages(operator: httpx2.Client, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = operator.get(path, params={"limit": 200}).json()["items"]
    return found


def ends(fleet: Fleet, day: float) -> Counter[str]:
    return Counter(map(str, fleet.poll_all(day)))


def test_real_devices_and_those_by_protocol_are_alike_to_a_server(home: HomeServer, operator: httpx2.Client) -> None:
    fleet = enrolled(home, operator, Plan(12, real=4, attributes=(REGIONS,), metered=0.5))
    assert ends(fleet, 0) == {"installed": 12}
    assert ends(fleet, 1) == {"none": 12}
    shown = pages(operator, f"/v1/models/{MODEL}/devices")
    assert {(row["version"], row["last_report"]["stage"]) for row in shown} == {(1, "installed")}
    by_name = {row["name"]: row["attributes"] for row in shown}
    assert by_name == {device.traits.name: dict(device.traits.attributes) for device in fleet.devices}
    home.publish(2)
    assert ends(fleet, 2) == {"installed": 12}
    assert fleet.versions() == {2: 12}
    assert operator.post(f"/v1/models/{MODEL}/channel", json={"version": 1}).is_success
    returned = fleet.poll_all(3)
    assert Counter((one.end, one.fetched) for one in returned) == {("installed", 0): 12}
    assert fleet.versions() == {1: 12}


def test_counts_of_the_field_arrive_once(home: HomeServer, operator: httpx2.Client) -> None:
    fleet = enrolled(home, operator, Plan(10, real=5, counting=1, effects=(Effect(1, 50),)))
    fleet.poll_all(0)
    summed = [fleet.report_field(day) for day in (1, 2)]
    for day in (2, 3):
        fleet.poll_all(day)
    reports = [row for row in pages(operator, "/v1/reports") if row["stage"] == "field"]
    assert sum(row["errors"] for row in reports) == sum(day.errors for day in summed)
    assert sum(row["total"] for row in reports) == sum(day.total for day in summed) == 2 * 10 * 200
    assert summed[0].error_rate_ppm > 400_000


@pytest.mark.parametrize("cause", ["network", "server", "device", "version"])
def test_faults_are_reported_by_their_cause(home: HomeServer, operator: httpx2.Client, cause: Any) -> None:
    fleet = enrolled(home, operator, Plan(6, real=3, faults=(Fault(cause, 1.0, 1),)))
    end = "postponed" if cause in ("network", "server") else "failed"
    assert ends(fleet, 0) == {f"{end} ({cause})": 6}
    assert ends(fleet, 1) == ({"unfit": 6} if cause == "version" else {f"{end} ({cause})": 6})
    reports = [row for row in pages(operator, "/v1/reports") if row["stage"] != "field"]
    assert {(row["stage"], row["cause"]) for row in reports} == {(end, cause)}
    assert len({(row["device"], row["failed_stage"]) for row in reports}) == 6


def test_devices_that_are_offline_do_not_poll(home: HomeServer, operator: httpx2.Client) -> None:
    fleet = enrolled(home, operator, Plan(20, real=0, offline=0.5, seed=1))
    counted = ends(fleet, 0)
    assert counted["offline"] + counted["installed"] == 20
    assert 2 < counted["offline"] < 18
    seen = [row for row in pages(operator, f"/v1/models/{MODEL}/devices") if row["last_seen"]]
    assert len(seen) == counted["installed"]


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command(
    home: HomeServer, operator: httpx2.Client, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    root = ["--root", str(home.folder / "root.json"), "--token", home.operator, "--model", MODEL]
    words = ["simulate", str(operator.base_url), *root, *SCORE, "--devices", "8", "--real", "2", "--counting", "1"]
    assert main([*words, "--days", "3", *(["--json"] if as_json else [])]) == 0
    printed = capsys.readouterr().out
    if not as_json:
        assert re.search(r"day 0: 8 installed; devices: 8 at 1; field: 0.00 % of 0 words", printed)
        assert re.search(r"^polls +24 in 3 days", printed, re.MULTILINE)
        assert re.search(r"^  at version 1 +8$", printed, re.MULTILINE)
        return
    told = json.loads(printed)
    assert [day["ends"] for day in told["days"]] == [{"installed": 8}, {"none": 8}, {"none": 8}]
    assert [day["counted"]["total"] for day in told["days"]] == [0, 1600, 1600]
    assert told["days"][0]["fetched"] > 0


def test_a_server_that_is_away_ends_the_command_with_its_code(home: HomeServer, tmp_path: Path) -> None:
    words = ["simulate", "http://127.0.0.1:1", "--token", "t", "--model", MODEL, "--devices", "1"]
    assert main([*words, "--root", str(tmp_path / "none")]) == 1
    assert main([*words, "--root", str(home.folder / "root.json")]) == 4
