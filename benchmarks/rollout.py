"""Simulate rollouts of good and bad versions, and count what the gate does: `python -m benchmarks.rollout --json FILE`.

Beside the gate stands the rule that people use: the same stages and margin with a 95 % interval for one look, asked as
often. The simulation is in `simulated_rollout`, which tells how the fleet reports.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.simulated_rollout import STAGES, Fleet, Harm, Judge, Outcome, rollout
from diffserver.gate.judge import Reports, Terms, Verdict, judge

GOOD = Harm()
BAD = {"+1 on all": Harm(1.0), "+5 on a tenth": Harm(5.0, 0.1), "+5 on a tenth, by group": Harm(5.0, 0.1, True)}
FLEETS = {
    "as it is": Fleet(),
    "nothing lasts": Fleet(lasting=0.0),
    "2 points last": Fleet(lasting=2.0),
    "10 % report": Fleet(reporting=0.1),
    "5 % report": Fleet(reporting=0.05),
}
BARS = {"false_aborts": 0.005, "missed": 0.005, "good_completed": 0.95}
ONE_LOOK = 1.96


def by_one_look(reports: Reports, terms: Terms, stages: int) -> Verdict:  # noqa: ARG001 - as judge is called
    """Judge by an interval that holds for one look."""
    fleet = reports.fleet
    low, high = fleet.value - ONE_LOOK * fleet.error, fleet.value + ONE_LOOK * fleet.error
    if high < terms.margin:
        return Verdict("pass", "", low, high)
    return Verdict("harm" if low > 0 else "no evidence of harm", "", low, high)


def simulate(pool: ProcessPoolExecutor, count: int, fleet: Fleet, harm: Harm, rule: Judge = judge) -> list[Outcome]:
    """Return the outcomes of so many rollouts."""
    one = partial(rollout, fleet, harm, Terms(), rule)
    return list(pool.map(one, range(count), chunksize=20))


def figures(outcomes: list[Outcome]) -> dict[str, Any]:
    """Return the shares of rollouts by their end, and the days that the completed ones took."""
    shares = {end: sum(one.end == end for one in outcomes) / len(outcomes) for end in ("completed", "aborted", "waits")}
    beyond = sum(one.reached > 0.5 for one in outcomes) / len(outcomes)
    days = [one.days for one in outcomes if one.end == "completed"]
    stopped = [one.days for one in outcomes if one.end == "aborted"]
    return {**shares, "beyond_half": beyond, "days": median(days or [0]), "days_to_abort": median(stopped or [0])}


def cases(pool: ProcessPoolExecutor, count: int, few: int) -> Iterator[dict[str, Any]]:
    """Yield the figures of every case: the gate as it is on all versions, then other fleets, then the one look."""
    for name, harm in {"good": GOOD, **BAD}.items():
        yield {"rule": "gate", "fleet": "as it is", "version": name, "rollouts": count} | figures(
            simulate(pool, count, Fleet(), harm)
        )
    for fleet_name, fleet in list(FLEETS.items())[1:]:
        for name, harm in {"good": GOOD, "+1 on all": BAD["+1 on all"]}.items():
            yield {"rule": "gate", "fleet": fleet_name, "version": name, "rollouts": few} | figures(
                simulate(pool, few, fleet, harm)
            )
    wide = replace(FLEETS["5 % report"], devices=100_000)
    yield {"rule": "gate", "fleet": "5 % of 100,000 report", "version": "good", "rollouts": few} | figures(
        simulate(pool, few, wide, GOOD)
    )
    for name, harm in {"good": GOOD, "+1 on all": BAD["+1 on all"]}.items():
        yield {"rule": "one look", "fleet": "as it is", "version": name, "rollouts": few} | figures(
            simulate(pool, few, Fleet(), harm, by_one_look)
        )


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the bars are about: rollouts, and shares of them."""
    known = {case["version"]: case for case in found if (case["rule"], case["fleet"]) == ("gate", "as it is")}
    return {
        "good_rollouts": known["good"]["rollouts"],
        "false_aborts": known["good"]["aborted"],
        "good_completed": known["good"]["completed"],
        "bad_rollouts": sum(known[name]["rollouts"] for name in BAD),
        "missed": max(known[name]["beyond_half"] for name in BAD),
        "settings": {"fleet": asdict(Fleet()), "terms": asdict(Terms()), "stages": STAGES, "looks": "daily"},
    }


def show(found: list[dict[str, Any]]) -> Table:
    """Return the table of all cases."""
    columns = ("completed", "aborted", "waits", "beyond_half")
    table = Table("rule", "fleet", "version", "rollouts", *columns, "days", "to abort")
    for case in found:
        shares = [f"{100 * case[name]:.2f} %" for name in columns]
        words = [case["rule"], case["fleet"], case["version"], f"{case['rollouts']:,}"]
        table.add_row(*words, *shares, f"{case['days']:g}", f"{case['days_to_abort']:g}")
    return table


def missed(result: dict[str, Any]) -> list[str]:
    """Return the bars that are missed, in words."""
    wrong = [
        name for name in BARS if (result[name] < BARS[name] if name == "good_completed" else result[name] > BARS[name])
    ]
    return [f"{name} is {result[name]:.4f}, and the bar is {BARS[name]}" for name in wrong]


def main() -> None:
    """Simulate, print, and exit with status 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=2000, help="of each version, on the fleet as it is")
    parser.add_argument("--few", type=int, default=400, help="of each version, in all other cases")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    options = parser.parse_args()
    found = []
    with ProcessPoolExecutor() as pool:
        for case in cases(pool, options.rollouts, options.few):
            found.append(case)
            sys.stderr.write(f"{case['rule']}, {case['fleet']}, {case['version']}: {case['completed']:.3f} completed\n")
    result = summary(found) | {"cases": found, "machine": machine.describe()}
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    Console(width=120).print(show(found))
    sys.exit("; ".join(missed(result)) or 0)


if __name__ == "__main__":
    main()
