"""Charts: well-formed, without script or style, every value and name on them, and all that is foreign escaped."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from diffserver.charts.bar_chart import Part, bars
from diffserver.charts.line_chart import Line, Point, lines
from diffserver.charts.scale import Scale, apart, label, ticks
from diffserver.charts.style import CSS, DARK, LIGHT

HOSTILE = '<script>alert("&")</script>'


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def nodes(svg: str, name: str) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter(f"{{http://www.w3.org/2000/svg}}{name}"))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 10], [0, 2, 4, 6, 8, 10]),
        ([-0.3, 0.23], [-0.4, -0.2, 0, 0.2, 0.4]),
        ([], [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ([0, 0], [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ([7, 7], [0, 2, 4, 6, 8]),
    ],
)
def test_ticks_are_round_and_enclose(values: list[float], expected: list[float]) -> None:
    assert ticks(values) == pytest.approx(expected)


def test_labels_have_the_decimals_of_their_step_and_no_offset() -> None:
    assert [label(tick, 0.25) for tick in (-0.25, 0.0, 1000.5)] == ["−0.25", "0", "1,000.50"]
    assert label(100_000, 20_000) == "100,000"


def test_a_scale_holds_values_inside() -> None:
    scale = Scale(0, 10, 100, 0)
    assert [scale.at(value) for value in (-5, 0, 5, 10, 50)] == [100, 100, 50, 0, 0]


def test_labels_that_would_cover_each_other_move_apart() -> None:
    assert apart([50, 51, 10], 13, 0, 100) == [50, 63, 10]
    assert apart([100, 99], 13, 0, 100) == [100, 87]


def test_lines_have_their_names_at_their_ends_and_bars_for_intervals() -> None:
    series = [Line("sparse", [Point(1, 2.0, 1.5, 2.5), Point(2, 3.0, 2.5, 3.5)]), Line(HOSTILE, [Point(1, 1.0)])]
    svg = lines("WER over the versions", series, "version", "WER, %", limits=[("budget", 4.0)])
    assert nodes(svg, "title")[0].text == ET.fromstring(svg).get("aria-label") == "WER over the versions"
    assert {"sparse", HOSTILE, "budget", "version", "WER, %", "1", "2"} <= set(texts(svg))
    assert len(nodes(svg, "circle")) == 3
    assert HOSTILE not in svg
    assert "style=" not in svg, "a strict Content-Security-Policy refuses it"
    as_band = lines("the same", series, "version", "WER, %", band=True)
    assert len(nodes(as_band, "polygon")) == 1


def test_bars_stack_their_parts() -> None:
    svg = bars("bytes", ["1", "2"], [Part("payload", [10, 20]), Part("probe set", [5, 0])], "version", "KiB")
    heights = [float(node.get("height", 0)) for node in nodes(svg, "rect")]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)
    assert heights[3] == 0
    assert {"payload", "probe set", "1", "2"} <= set(texts(svg))


@pytest.mark.parametrize("svg", [lines("none", [], "x", "y"), bars("none", [], [], "x", "y")], ids=["lines", "bars"])
def test_nothing_to_show_is_an_empty_chart(svg: str) -> None:
    assert {"x", "y"} <= set(texts(svg))


def test_the_style_sheet_has_all_colours_and_fetches_nothing() -> None:
    assert all(colour in CSS for colour in LIGHT + DARK)
    assert "url(" not in CSS
    assert "@import" not in CSS


def contrast(colour: str, ground: str) -> float:
    def luminance(text: str) -> float:
        parts = [int(text[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("colours", "ground"), [(LIGHT, "#ffffff"), (DARK, "#16191d")], ids=["light", "dark"])
def test_colours_can_be_read_on_their_ground(colours: tuple[str, ...], ground: str) -> None:
    assert min(contrast(colour, ground) for colour in colours) >= 4.5
