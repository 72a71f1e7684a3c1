"""Render the payload benchmark's figures as text and as a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Figures = dict[str, Any]


def show(cases: list[Figures], bars: list[Figures]) -> str:
    """Return the payloads, the peers' bytes as multiples of ours, and the bars."""
    return "\n\n".join((_lines(_ours(cases)), _lines(_theirs(cases)), _lines(_bars(bars))))


def _ours(cases: list[Figures]) -> list[list[str]]:
    head = ["case", "weights", "changed", "bytes", "a change", "/ limit", "header", "encode s", "decode s"]
    return [head] + [
        [
            case["name"],
            f"{case['n']:,}",
            f"{case['changes']:,}",
            f"{case['bytes']:,}",
            f"{case['bytes_per_change']:.3f}",
            f"{case['ratio_to_limit']:.4f}" if case["ratio_to_limit"] else "-",
            f"{case['header_bytes'] / case['bytes']:.1%}",
            f"{case['seconds_encode']:.2f}",
            f"{case['seconds_decode']:.2f}",
        ]
        for case in cases
    ]


def _theirs(cases: list[Figures]) -> list[list[str]]:
    names = list(dict.fromkeys(name for case in cases for name in case["peers"]))
    rows = [["bytes / our bytes", *(str(number) for number in range(1, len(names) + 1))]]
    for case in cases:
        ratios = (case["peers"][name] / case["bytes"] if name in case["peers"] else None for name in names)
        rows.append([case["name"], *("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios)])
    return rows + [[f"{number}: {name}"] for number, name in enumerate(names, 1)]


def _bars(bars: list[Figures]) -> list[list[str]]:
    return [["bar", "", "value", "at most", ""]] + [
        [bar["case"], bar["what"], f"{bar['value']:.4f}", f"{bar['at_most']:g}", "holds" if bar["holds"] else "MISSED"]
        for bar in bars
    ]


def _lines(rows: list[list[str]]) -> str:
    """Align columns, the first to the left."""
    columns = max(len(row) for row in rows)
    widths = [max((len(row[i]) for row in rows if len(row) > i), default=0) for i in range(columns)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        )
        for row in rows
    )


def plot(cases: list[Figures], path: Path) -> None:
    """Draw bytes a changed weight against density: ours, the limit, the peers. Needs matplotlib."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 6))
    drawn = [case for case in cases if case["name"].startswith(("synthetic", "all peers"))]
    curves: dict[str, list[tuple[float, float]]] = {}
    for case in drawn:
        full = case["name"].startswith("synthetic")
        sizes = {"payload": case["bytes"], "limit": case["limit_bytes"]} if full else case["peers"]
        for name, size in sizes.items():
            curves.setdefault(name, []).append((case["density"] * 100, size / case["changes"]))
    axes.set_prop_cycle(color=mpl.colormaps["tab20"](range(20)))
    for name, points in curves.items():
        style = {"payload": "k-o", "limit": "r:"}.get(name, "-")
        axes.plot(*zip(*points, strict=True), style, label=name, linewidth=2 if name == "payload" else 1)
    axes.set(xscale="log", yscale="log", xlabel="weights that change, %", ylabel="bytes a changed weight")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=120, bbox_inches="tight")
