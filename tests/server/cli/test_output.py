"""What commands show of trainings: a row each, and dashes for what there is not."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console

from diffserver.cli.output import tried_table
from diffserver.pipeline.trial_search import Trial

FULL = Trial("full", None, 3.126, 0.0, density=0.99998, seconds=37.0)
SPARSE = Trial("sparse", 0.05, 3.5, None, 0.5, 230_000, 0.0493, 0.25, 15, (0.00123, 0.00246), 45.0)
HASHED = Trial("hashed", 0.0125, 3.0, -0.126, 0.5, 57_000, 0.0124, 1.0, 7, (0.5, 0.5), 45.0)


def shown(*tries: tuple[Trial, bool]) -> list[list[str]]:
    """The cells of each row of the table, as a wide terminal shows them."""
    rows: list[dict[str, Any]] = [asdict(trial) | {"chosen": chosen} for trial, chosen in tries]
    console = Console(width=200)
    with console.capture() as capture:
        console.print(tried_table(rows), highlight=False)
    lines = [line for line in capture.get().splitlines() if "│" in line]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_every_try_is_a_row() -> None:
    known = Trial("full", None, 3.126, 0.0, seconds=37.0, trained=False)
    assert shown((FULL, False), (SPARSE, False), (HASHED, True), (known, False)) == [
        ["full", "–", "–", "100.00%", "–", "–", "3.13 %", "+0.00", "no"],
        ["sparse", "5.00%", "4.93%", "25.00%", "15", "0.0012–0.0025", "3.50 %", "–", "no"],
        ["hashed", "1.25%", "1.24%", "100.00%", "7", "0.5", "3.00 %", "-0.13", "yes"],
        ["full", "–", "–", "–", "–", "–", "3.13 %", "+0.00", "known before"],
    ]
