"""Which candidate of a checkpoint is published: the one named, the one of the rule, or what a person says."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from diffserver.choices.delivery import DELIVERY
from diffserver.cli.train.checkpoints import Outcomes, choose, compare, make, require_bound, require_choice
from diffserver.errors import Conflict, Invalid
from tests.imagined import evaluation


def candidate(length: int, *refusals: str, errors: int = 5) -> dict[str, Any]:
    return {
        "id": length,
        "payload": {"length": length},
        "payload_share": length / 1e6,
        "to_fetch": {"total": length + 4_321},
        "changed_weights": 3 * length,
        "metric": {"name": "mistakes", "counts": "birds"},
        "evaluation": evaluation(base=(4, errors), new=(None, 9) if errors == 0 else (40, 9)),
        "refusals": list(refusals),
        "notes": ["made of the checkpoint abc"],
        "tried": [],
    }


EXACT, SPARSE = candidate(260_000), candidate(20_000, errors=6)
FORGETS = candidate(20_000, "base loses 9 points")
BOTH = Outcomes({"exact": EXACT, "sparse": SPARSE})


@pytest.mark.parametrize(
    ("outcomes", "kind", "force", "expected"),
    [
        pytest.param(BOTH, None, False, SPARSE, id="the smaller one"),
        pytest.param(
            Outcomes({"exact": candidate(9), "sparse": SPARSE}), None, False, candidate(9), id="even if exact"
        ),
        pytest.param(Outcomes({"exact": EXACT, "sparse": FORGETS}), None, False, EXACT, id="nothing speaks against it"),
        pytest.param(Outcomes({"exact": EXACT, "sparse": FORGETS}), None, True, FORGETS, id="forced"),
        pytest.param(BOTH, "exact", False, EXACT, id="named"),
        pytest.param(
            Outcomes({"exact": EXACT, "sparse": FORGETS}), "sparse", False, FORGETS, id="named, refused later"
        ),
    ],
)
def test_the_rule(outcomes: Outcomes, kind: str | None, force: bool, expected: Any) -> None:
    assert choose(outcomes, kind, yes=kind is None, force=force) == expected


def test_where_something_speaks_against_all_nothing_is_chosen() -> None:
    with pytest.raises(Conflict, match="base loses 9 points"):
        choose(Outcomes({"sparse": FORGETS}, {"exact": "no worker"}), None, yes=True, force=False)
    with pytest.raises(Conflict, match="no exact candidate: no worker"):
        choose(Outcomes({"sparse": SPARSE}, {"exact": "no worker"}), "exact", yes=True, force=False)


class FailingServer:
    """A server whose trainings all fail, for one reason."""

    def __init__(self) -> None:
        self.count = 0

    def post(self, _path: str, _body: Any) -> Any:
        self.count += 1
        return {"id": self.count, "state": "failed", "error": "the checkpoint lacks a"}


def test_a_reason_that_both_trainings_have_is_told_once() -> None:
    with pytest.raises(Conflict) as failed:
        make(FailingServer(), {}, None, budget=0.02)  # type: ignore[arg-type]
    assert failed.value.detail == "there is no candidate: the checkpoint lacks a"


@pytest.mark.parametrize(("said", "expected"), [("exact", EXACT), ("sparse", SPARSE), ("none", None)])
def test_a_person_is_asked_until_the_answer_is_one(monkeypatch: pytest.MonkeyPatch, said: str, expected: Any) -> None:
    asked, answers = [], iter(["hashed", said])

    def prompt(text: str, **_options: Any) -> str:
        asked.append(text)
        return next(answers)

    monkeypatch.setattr("typer.prompt", prompt)
    assert choose(BOTH, None, yes=False, force=False) == expected
    assert asked == ["Publish exact, sparse or none?"] * 2


@pytest.mark.parametrize(
    ("kind", "yes", "as_json", "terminal", "fine"),
    [
        (None, False, False, True, True),
        (None, False, False, False, False),
        (None, False, True, True, False),
        (None, True, True, False, True),
        ("exact", False, True, False, True),
        ("hashed", True, False, True, False),
    ],
)
def test_it_is_known_from_the_start_who_chooses(
    monkeypatch: pytest.MonkeyPatch, kind: str | None, yes: bool, as_json: bool, terminal: bool, fine: bool
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal)
    if fine:
        require_choice(kind, yes, as_json)
        return
    with pytest.raises(Invalid):
        require_choice(kind, yes, as_json)


def test_both_stand_side_by_side() -> None:
    text = shown(Outcomes({"exact": EXACT, "sparse": FORGETS}))
    for part in (
        "mistakes in %",
        "260,000",
        "26.00%",
        "264,321",
        "20,000",
        "5.00 (+1.00)",
        "40.00",
        "9.00 (-31.00)",
        "sparse: base loses 9 points",
    ):
        assert part in text


def test_trials_are_shown_above() -> None:
    trial = {
        "method": "sparse", "budget": 0.0512, "payload_bytes": 19, "payload_share": 0.05, "density": 0.1, "levels": 3,
        "steps": (0.1, 0.2), "mean_error_rate": 6.5, "drift": 0.5, "chosen": True, "trained": True,
    }  # fmt: skip
    assert "5.12%" in shown(Outcomes({"exact": EXACT, "sparse": SPARSE | {"tried": [trial]}}))


def test_what_is_delivered_whole_shows_the_bytes_of_the_snapshot() -> None:
    whole = candidate(9) | {"payload": None, "snapshot": {"length": 1_234_567}}
    text = shown(Outcomes({"snapshot": whole}))
    assert "1,234,567" in text
    assert "whole" in text


@pytest.mark.parametrize(
    ("kind", "task", "reason"),
    [("exact", "asr", "exact has none"), ("snapshot", "asr", "snapshot has none"), (None, DELIVERY, "without a task")],
)
def test_a_bound_on_drift_needs_a_budget_and_test_sets(kind: str | None, task: str, reason: str) -> None:
    require_bound(None, kind, task)
    require_bound(1.0, "sparse", "asr")
    with pytest.raises(Invalid, match=reason):
        require_bound(1.0, kind, task)


def shown(outcomes: Outcomes) -> str:
    console = Console(record=True, width=160)
    console.print(compare(outcomes))
    return console.export_text()
