"""A rollout's conditions as people read them: all that say something, each by a name."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

from diffserver.choices.rollouts import Evidence
from diffserver.console.terms import EVIDENCE, TERMS, terms_of
from diffserver.rollouts.plan import Conditions


def test_every_condition_has_a_name() -> None:
    assert TERMS.keys() == {field.name for field in fields(Conditions)}
    assert EVIDENCE.keys() == set(get_args(Evidence))


def test_what_is_usual_and_what_was_asked_for() -> None:
    usual = dict(terms_of(Conditions().to_json()))
    assert usual == {
        "The gate looks at": "errors in the field, and failures",
        "Worsening that is borne": "0.5 points",
        "Devices that must have reported, on each side": "10",
        "Failures that are borne": "2 %",
    }
    asked = Conditions(evidence="none", wait_seconds=5400, window="22:00-05:00", only=("region=eu", "region=us"))
    said = dict(terms_of(asked.to_json()))
    assert said["Only devices with"] == "region=eu, region=us"
    assert (said["Least time of a stage"], said["Hours of the day, UTC"]) == ("1.5 hours", "22:00-05:00")
