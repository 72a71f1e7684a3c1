"""`python -m tests.hostile.schema --seconds 120`: generated requests against what /openapi.json says of the answers.

As nobody, as a device and as each role of operators, equally long; half of the requests keep to the document, half do
not. Ends with `N requests, N undeclared answers, N server errors`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import schemathesis
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from tests.hostile.served import Served, served

CONFORMANCE = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
AT_ONCE = 8
"""Requests to one operation, before the next has its turn."""

EXAMPLES = hypothesis.settings(
    max_examples=AT_ONCE,
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)


@dataclass
class Tally:
    """What came of the requests: how many by role and status, and what no one declared, with how often."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    undeclared: Counter[str] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        """How many there were."""
        return self.statuses.total()

    @property
    def server_errors(self) -> int:
        """How many ended in a status of 500 and above."""
        return sum(count for (_, status), count in self.statuses.items() if status >= 500)

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {self.undeclared.total()} undeclared answers, "
            f"{self.server_errors} server errors"
        )


def walk(server: Served, tokens: dict[str, str | None], seconds: float) -> Tally:
    """Ask all operations again and again, as each of these roles, for so many seconds in all."""
    tally = Tally()
    operations = _operations(server)
    for role, token in tokens.items():
        until = time.monotonic() + seconds / len(tokens)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        for operation, mode in itertools.cycle(itertools.product(operations, GenerationMode)):
            if time.monotonic() > until:
                break
            _ask(operation, mode, headers, role, tally)
    return tally


def _operations(server: Served) -> list[Any]:
    document: Any = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    return [found.ok() for found in document.get_all_operations()]


def _ask(operation: Any, mode: GenerationMode, headers: dict[str, str], role: str, tally: Tally) -> None:
    @EXAMPLES
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        response = case.call(headers=headers, timeout=30)
        tally.statuses[role, response.status_code] += 1
        try:
            case.validate_response(response, checks=CONFORMANCE)
        except FailureGroup as group:
            found = "; ".join(dict.fromkeys(failure.title for failure in group.exceptions))
            tally.undeclared[f"{role}: {operation.label} answers {response.status_code}: {found}"] += 1

    try:
        ask()
    except hypothesis.errors.Unsatisfiable:  # nothing contradicts what takes nothing
        return


def main(arguments: list[str]) -> int:
    """Run the server and the walk; return 1 if anything was not declared."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.schema", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to ask, in all")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as server:
        tally = walk(server, server.roles(), chosen.seconds)
    for what, count in sorted([*tally.statuses.items(), *tally.undeclared.items()], key=str):
        sys.stdout.write(f"{count:6} {what if isinstance(what, str) else ' '.join(map(str, what))}\n")
    sys.stdout.write(f"{tally}\n")
    return 1 if tally.undeclared or tally.server_errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
