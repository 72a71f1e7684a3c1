"""`python -m tests.hostile` runs every case, the long ones too, and ends with `N cases, N held`."""

from __future__ import annotations

import sys
from collections import Counter

import pytest


class Tally:
    """Counts the cases that ran and those that held."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a case once: by its call, or by what kept it from being called."""
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.outcome] += 1


def main(arguments: list[str]) -> int:
    """Run the cases; return pytest's exit status."""
    tally = Tally()
    status = pytest.main(["tests/hostile", "-m", "", *arguments], plugins=[tally])
    ran = tally.outcomes["passed"] + tally.outcomes["failed"]
    skipped = f", {tally.outcomes['skipped']} skipped" if tally.outcomes["skipped"] else ""
    sys.stdout.write(f"{ran} cases, {tally.outcomes['passed']} held{skipped}\n")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
