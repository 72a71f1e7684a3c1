"""What commands show of trainings and candidates: a row each, and dashes for what there is not."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from diffserver.cli.output import evaluation_table, show_list, travel_line, tried_table
from diffserver.pipeline.search.trial_search import Trial
from tests.imagined import evaluation

FULL = Trial("full", None, 3.126, 0.0, density=0.99998, seconds=37.0)
SPARSE = Trial("sparse", 0.05, 3.5, None, 0.5, 230_000, 0.0493, 0.25, 15, (0.00123, 0.00246), 45.0)
HASHED = Trial("hashed", 0.0125, 3.0, -0.126, 0.5, 57_000, 0.0124, 1.0, 7, (0.5, 0.5), 45.0)


METRIC = {"name": "error rate", "counts": "gestures"}


def cells(table: Table) -> list[list[str]]:
    """The cells of each row of a table, as a wide terminal shows them; the title and the headings come first."""
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table, highlight=False)
    title, *lines = capture.get().splitlines()
    rows = [line.replace("┃", "│").strip("│ ") for line in lines if "│" in line or "┃" in line]
    return [[title.strip()], *([cell.strip() for cell in row.split("│")] for row in rows)]


def tried(*trials: tuple[Trial, bool]) -> list[list[str]]:
    """What is shown of these, chosen or not."""
    rows: list[dict[str, Any]] = [asdict(trial) | {"chosen": chosen} for trial, chosen in trials]
    return cells(tried_table(rows, METRIC, {"total": 59_000}))


def test_every_trial_is_a_row() -> None:
    known = Trial("full", None, 3.126, 0.0, seconds=37.0, trained=False)
    title, headings, *rows = tried((FULL, False), (SPARSE, False), (HASHED, True), (known, False))
    assert (title, headings[-3:]) == (["What was tried"], ["mean error rate", "drift", "chosen"])
    assert rows == [
        ["full", "–", "–", "–", "100.00%", "–", "–", "3.13 %", "+0.00", "no"],
        ["sparse", "5.00%", "4.93%", "–", "25.00%", "15", "0.0012–0.0025", "3.50 %", "–", "no"],
        ["hashed", "1.25%", "1.24%", "59000", "100.00%", "7", "0.5", "3.00 %", "-0.13", "yes"],
        ["full", "–", "–", "–", "–", "–", "–", "3.13 %", "+0.00", "known before"],
    ]


TO_FETCH = {"payload": 8772, "graph": 0, "probes": 2010, "metadata": 2802, "total": 13584}


@pytest.mark.parametrize(
    ("to_fetch", "probe_set", "line"),
    [
        (
            TO_FETCH,
            {"items": 73, "known": 72, "chance_to_pass": 0.00457},
            "A device fetches 13,584 bytes: payload 8,772, probe set 2,010, metadata 2,802. Of the 73 gestures of the "
            "probe set it gets 72 right; a model that errs on a tenth of them more passes with a chance of 0.46%.",
        ),
        (
            TO_FETCH | {"metadata": None, "total": 10782},
            None,
            "A device fetches 10,782 bytes: payload 8,772, probe set 2,010; the metadata comes on top, once it is "
            "signed.",
        ),
        (None, None, ""),
    ],
)
def test_what_travels_is_told_by_its_parts(to_fetch: Any, probe_set: Any, line: str) -> None:
    assert travel_line({"to_fetch": to_fetch, "probe_set": probe_set, "metric": METRIC}) == line


def test_an_evaluation_is_told_in_its_metrics_words() -> None:
    assert cells(evaluation_table(evaluation(old=(4, 6), new=(None, 9)), METRIC)) == [
        ["Error rate by test set"],
        ["test set", "gestures", "parent", "candidate", "points"],
        ["old", "100", "4.00 %", "6.00 %", "+2.00"],
        ["new", "100", "–", "9.00 %", "–"],
    ]


@pytest.mark.parametrize("count", [0, 1, 1203])
def test_a_list_is_printed_as_it_comes(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    items = [{"name": f"line\n{number}", "of": [number]} for number in range(count)]
    show_list(iter(items), True, "Items", ["name"], lambda item: [item["of"][0]])
    assert capsys.readouterr().out == json.dumps(items, indent=1) + "\n"
    show_list(iter(items), False, "Items", ["number"], lambda item: [item["of"][0]])
    lines = capsys.readouterr().out.splitlines()
    shown = [line.strip("│ ") for line in lines if line.startswith("│")]
    assert shown == [str(number) for number in range(count)]
    assert lines[0].strip() == "Items"
    assert sum("number" in line for line in lines) == max(1, -(-count // 500))
