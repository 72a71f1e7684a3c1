"""Two pictures of results: drift over the updates, and drift against bytes; a small one for each method.

The figures are left to `results`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffserver.charts.plots import colour, name_ends, plain
from diffserver.experiment.results import Results, Row, average, by_chain, spread

Chains = Mapping[tuple[str, str, float], Mapping[int, Sequence[Row]]]
"""The rows of all seeds by data, method and budget, and then by update."""
NEAR = 10
"""Points of drift up to which methods share a picture."""
ABREAST = 3


def plots(results: Results, stem: Path) -> list[Path]:
    """Draw `<stem>-drift.png` and `<stem>-bytes.png`; return the files written. Without rows there are none."""
    chains = {chain: updates for chain, updates in by_chain(results.runs).items() if chain[1] != "full"}
    if not chains:
        return []
    drift, size = (stem.with_name(f"{stem.name}-{kind}.png") for kind in ("drift", "bytes"))
    _draw_drift(chains, drift)
    _draw_size(chains, size)
    return [drift, size]


def _panels(count: int, each: tuple[float, float]) -> tuple[Any, list[Any]]:
    """Return a figure, and axes for each of so many pictures."""
    from matplotlib.figure import Figure

    across = min(ABREAST, count)
    rows = -(-count // across)
    figure = Figure(figsize=(each[0] * across, each[1] * rows + 0.7))
    axes = figure.subplots(rows, across, squeeze=False)
    edge = 1 / (each[1] * rows + 0.7)
    figure.subplots_adjust(
        left=0.7 / (each[0] * across), right=1 - 0.7 / (each[0] * across), bottom=0.5 * edge, top=1 - 0.7 * edge,
        wspace=0.42, hspace=0.45,
    )  # fmt: skip
    for unused in axes.flat[count:]:
        unused.set_visible(False)
    return figure, list(axes.flat[:count])


def _draw_drift(chains: Chains, path: Path) -> None:
    """Draw a picture for each method, the least drift first, with a line for each budget."""
    budgets = sorted({budget for _, _, budget in chains}, reverse=True)
    methods = _methods(chains)
    several = any(len(rows) > 1 for updates in chains.values() for rows in updates.values())
    figure, panels = _panels(len(methods), (3.6, 2.7) if len(methods) > 1 else (7.5, 3.6))
    for axes, (data, method) in zip(panels, methods, strict=True):
        own = {key[2]: updates for key, updates in chains.items() if key[:2] == (data, method)}
        values, ends = [], []
        for budget, updates in sorted(own.items(), reverse=True):
            numbers, kind = sorted(updates), colour(budgets.index(budget))
            drifts = [average(updates[number], "drift_mean") or 0.0 for number in numbers]
            low, high = zip(*(spread(updates[number]) for number in numbers), strict=True)
            axes.plot(numbers, drifts, color=kind, linewidth=1.8, marker="o", markersize=3.5)
            axes.fill_between(numbers, low, high, color=kind, alpha=0.18, linewidth=0)
            values += [*drifts, *low, *high]
            ends.append((numbers[-1], drifts[-1], f"{100 * budget:g} %", kind))
        plain(axes, values, [number for updates in own.values() for number in updates])
        name_ends(axes, ends)
        axes.set_title(f"{method} ({data})" if len({one for one, _ in methods}) > 1 else method, fontsize=11)
    bands = "bands: 95 % intervals" + (", or the range where there are several seeds" if several else " of one seed")
    scales = "; scales differ" if len(methods) > 1 else ""
    figure.suptitle(f"Drift from the full chain in points, by update ({bands}{scales})", fontsize=11)
    figure.savefig(path, dpi=120)


def _draw_size(chains: Chains, path: Path) -> None:
    """Draw drift against the payload at the last update: methods that drift little, and those that drift far."""
    last = max(max(updates) for updates in chains.values())
    curves = {key: sorted(points) for key, points in _by_method(chains, last).items()}
    near = {key: points for key, points in curves.items() if max(drift for _, drift in points) <= NEAR}
    groups = [group for group in (near, {key: curves[key] for key in curves if key not in near}) if group]
    figure, panels = _panels(len(groups), (5.2, 3.8))
    figure.subplots_adjust(right=0.86, wspace=0.5)
    for axes, group in zip(panels, groups, strict=True):
        ends = []
        for number, ((data, method), points) in enumerate(group.items()):
            shares, drifts = zip(*points, strict=True)
            axes.plot(shares, drifts, color=colour(number), marker="o", markersize=4, linewidth=1.8)
            name = f"{method} ({data})" if len({one for one, _ in curves}) > 1 else method
            ends.append((shares[-1], drifts[-1], name, colour(number)))
        plain(axes, [drift for points in group.values() for _, drift in points])
        axes.set_xlabel("payload, % of the fp32 bytes")
        name_ends(axes, ends)
    figure.suptitle(f"Drift from the full chain in points, after update {last}, by what a payload weighs", fontsize=11)
    figure.savefig(path, dpi=120)


def _methods(chains: Chains) -> list[tuple[str, str]]:
    """Return data and methods, those first that drift least at their last update with their smallest payload."""
    furthest: dict[tuple[str, str], float] = {}
    for (data, method, _), updates in chains.items():
        drift = average(updates[max(updates)], "drift_mean") or 0.0
        furthest[data, method] = max(drift, furthest.get((data, method), drift))
    return sorted(furthest, key=furthest.__getitem__)


def _by_method(chains: Chains, last: int) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Return payload in percent and drift of each budget that has come to the last update."""
    curves: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for (data, method, _), updates in chains.items():
        if last in updates:
            share, drift = (average(updates[last], name) or 0.0 for name in ("payload_share", "drift_mean"))
            curves.setdefault((data, method), []).append((100 * share, drift))
    return curves
