"""What all pictures look like: the colours of series, on light and on dark ground, and the style sheet of the SVGs."""

LIGHT = ("#0b62a8", "#b3450a", "#0a7a55", "#8a3f86", "#6b6b00", "#4d5866")
DARK = ("#6db3f2", "#f2a066", "#55c79c", "#d99ad6", "#cfcf5a", "#aab4c0")
"""One colour for each series, in turn: told apart by the colour-blind, too, and at least 4.5 : 1 against the ground."""

_RULES = """\
.chart { display: block; width: 100%; height: auto; max-width: 36rem; color: inherit; }
.chart text { font: 11px system-ui, sans-serif; fill: currentColor; }
.chart .axis { stroke: currentColor; stroke-opacity: .6; }
.chart .grid { stroke: currentColor; stroke-opacity: .15; }
.chart .zero { stroke: currentColor; stroke-opacity: .8; }
.chart .limit { stroke: currentColor; stroke-dasharray: 5 3; }
.chart .median { stroke: currentColor; stroke-width: 2; }
.chart .line { fill: none; stroke-width: 2; }
.chart .band { fill-opacity: .18; stroke: none; }
.chart .end { text-anchor: end; }
.chart .middle { text-anchor: middle; }
"""


def _coloured(colours: tuple[str, ...]) -> str:
    rule = ".chart .s{0} {{ stroke: {1}; }} .chart .f{0} {{ fill: {1}; }}\n"
    return "".join(rule.format(number, colour) for number, colour in enumerate(colours))


CSS = f"{_RULES}{_coloured(LIGHT)}@media (prefers-color-scheme: dark) {{\n{_coloured(DARK)}}}\n"
"""Goes onto a page once; the ground and the colour of text are the page's."""


def number(index: int) -> int:
    """Return the colour's number of the series at an index."""
    return index % len(LIGHT)
