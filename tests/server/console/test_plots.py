"""Pictures of a model's figures: escaped, with a name for those who cannot see them, and nothing of too little."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from diffserver.console import plots
from diffserver.console.pages.trainings import losses
from tests.server.console.filled import SCRIPT

RANKS = {"5": 2.0, "25": 2.5, "50": 3.0, "75": 3.5, "95": 4.0}


def test_lines_have_their_names_at_their_ends() -> None:
    drawn = ET.fromstring(plots.lines("Drift", {SCRIPT: {0: 1.0, 1: 2.0}, "base": {0: 1.0, 1: 1.9}}, "version"))
    texts = {node.text: float(node.get("y", 0)) for node in drawn.findall(".//{*}text")}
    assert drawn.get("aria-label") == "Drift"
    assert abs(texts[f"{SCRIPT[:13]}…"] - texts["base"]) >= 13
    assert plots.lines("Drift", {"base": {0: 1.0}}, "version") == ""


def test_spreads_stand_beside_a_value() -> None:
    drawn = ET.fromstring(plots.spreads("WER", [(SCRIPT, RANKS)], "server: 1.00", 1.0, "%"))
    median, beside = (
        float(next(node for node in drawn.findall(".//{*}line") if node.get("class") == kind).get("x1", 0))
        for kind in ("median", "limit")
    )
    assert beside < median
    assert {SCRIPT, "server: 1.00", "1.00 %", "4.00 %"} <= {node.text for node in drawn.findall(".//{*}text")}
    assert plots.spreads("WER", [], "server: 1.00", 1.0, "%") == ""


def test_losses_are_those_of_the_last_trial() -> None:
    told = ["step 9 of 9, loss 0.100", "step 1 of 9, loss 2.000", "evaluates", "step 5 of 9, loss 0.5"]
    assert losses([{"text": text} for text in reversed(told)]) == {1: 2.0, 5: 0.5}
