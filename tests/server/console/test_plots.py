"""Pictures of a model's figures: escaped, with a name for those who cannot see them, and nothing of too little."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from diffserver.console import charts, plots
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


def test_an_interval_narrows_however_far_it_is_from_the_margin() -> None:
    ends = [(-42.0, 250.0), (-6.0, 8.0), (-2.0, 3.0), (-1.0, 2.0)]
    looks = [
        {"at": f"2026-11-27T0{hour}:00:00+00:00", "low": low, "high": high} for hour, (low, high) in enumerate(ends)
    ]
    drawn = ET.fromstring(charts.interval(looks, 0.2))
    band = drawn.find(".//{*}polygon")
    assert band is not None
    edge = [tuple(map(float, point.split(","))) for point in band.get("points", "").split()]
    heights = [below[1] - above[1] for below, above in zip(edge[:4], reversed(edge[4:]), strict=True)]
    assert heights[0] >= heights[1] > 1.5 * heights[2] > 1.5 * heights[3] > 10
    assert drawn.get("aria-label", "").startswith("The worsening lies between -1.00 and 2.00 points")
    assert {node.text for node in drawn.findall(".//{*}text")} >= {"0", "5.0", "−5.0", "margin 0.2"}
    assert charts.interval(looks[:1], 0.2) == ""
