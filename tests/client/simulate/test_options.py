"""The options of a simulated fleet: what they say, and what is refused with the cause."""

from __future__ import annotations

import argparse
import re

import pytest

from diffclient.simulate import options
from diffclient.simulate.plan import Attribute, Effect, Fault, Plan

NEEDED = ["http://s", "--token", "t", "--model", "m", "--root", "r"]


def plan(*words: str) -> Plan:
    parser = argparse.ArgumentParser()
    options.add_to(parser)
    return options.plan(parser.parse_args([*NEEDED, *words]))


def test_without_options_a_plan_is_the_usual_one() -> None:
    assert plan("--devices", "9") == Plan(9, real=9)
    assert plan("--devices", "900") == Plan(900, real=options.REAL)


def test_every_option_is_heeded() -> None:
    words = "--devices 8 --real 3 --seed 5 --offline 0.2 --offline-days 2 --metered 0.1 --clock-offset 60 --counting 1"
    more = "--words 50 --rate 6 --spread 2 --drift -0.1 --effect 4=+5@0.3 --effect 4=-1@region=eu --effect 5=2"
    last = "--fault network=0.05 --fault version=0.3@4 --set region=eu:0.3,us:0.7"
    assert plan(*words.split(), *more.split(), *last.split()) == Plan(
        8, 3, 5, (Attribute("region", (("eu", 0.3), ("us", 0.7))),), (Fault("network", 0.05), Fault("version", 0.3, 4)),
        0.2, 2, 0.1, 60, 1, 50, 6, 2, -0.1,
        (Effect(4, 5, 0.3), Effect(4, -1, attribute=("region", "eu")), Effect(5, 2)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (["--effect", "4"], "VERSION=POINTS"),
        (["--effect", "four=5"], "'four' is not a whole number"),
        (["--effect", "4=5@2"], "'2' is not a share"),
        (["--fault", "weather=0.1"], "'weather' is no cause of a fault: give one of network"),
        (["--fault", "network=2"], "'2' is not a share"),
        (["--set", "region"], "NAME=VALUE:SHARE"),
        (["--set", "region=eu"], "is not a share"),
        (["--set", "region=eu:0"], "gives no device a value"),
        (["--offline-days", "0"], "'0' is not a number above 0"),
        (["--rate", "nan"], "'nan' is not a number from 0 on"),
        (["--words", "0"], "from 1 on"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_makes_no_sense_is_refused(words: list[str], pattern: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        plan("--devices", "9", *words)
    assert re.search(pattern, capsys.readouterr().err)
