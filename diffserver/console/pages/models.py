"""Models: versions with accuracy, drift and what travels, and what devices measured beside the server's figure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from diffserver.api.fields import ModelName, VersionNumber
from diffserver.console import measured, plots
from diffserver.console.guard import Caller, ConsoleRoute, Operator
from diffserver.console.link import Link

NAV = Link("Models", "/console/models")
router = APIRouter(route_class=ConsoleRoute)

SHOWN = 30
"""Versions on a page, the latest ones."""

Answer = Mapping[str, Any]


@router.get("/console/models")
async def models(who: Operator, archived: bool = False) -> Response:
    """Show all models."""
    found = await who.get("/v1/models", archived=archived, limit=500)
    return who.show("models.html", models=found["items"], archived=archived)


@router.get("/console/models/{model}")
async def model(who: Operator, model: ModelName, before: int | None = None) -> Response:
    """Show one model: its channels and its versions, the latest ones unless others are asked for."""
    found = await who.get(f"/v1/models/{model}")
    channels = (await who.get(f"/v1/models/{model}/channels"))["items"]
    end = before if before is not None else (found["newest"] or 0) + 1
    asked = {"after": max(-1, end - SHOWN - 1), "limit": SHOWN}
    versions = [row for row in (await who.get(f"/v1/models/{model}/versions", **asked))["items"] if row["number"] < end]
    drifts = await _drifts(who, model, versions)
    return who.show(
        "model.html",
        model=found,
        channels=channels,
        versions=versions,
        drifts=drifts,
        measured=measured,
        rates=_rates(versions),
        pictures=_pictures(versions, drifts),
    )


@router.get("/console/models/{model}/versions/{number}")
async def version(who: Operator, model: ModelName, number: VersionNumber) -> Response:
    """Show one version: how it was made, what it gets wrong, and what travels for it."""
    found = await who.get(f"/v1/models/{model}/versions/{number}")
    candidate = await who.get(f"/v1/candidates/{found['candidate_id']}")
    manifest = json.dumps(found["manifest"], indent=1, ensure_ascii=False)
    return who.show("version.html", release=found, candidate=candidate, manifest=manifest, measured=measured)


@router.get("/console/models/{model}/versions/{number}/devices")
async def on_devices(who: Operator, model: ModelName, number: VersionNumber) -> Response:
    """Show what devices measured of a version; a part of a page."""
    found = await who.get(f"/v1/models/{model}/versions/{number}")
    server, seen = found["manifest"]["error_rate_ppm"] / 1e4, found["on_devices"]
    name = found["metric"]["name"]
    about = f"{name} on devices on arrival, beside the server's {server:.2f} %"
    arrived = [("on arrival", seen["arrival"]["values"])] if seen["arrival"]["values"] else []
    field = [(channel, spread["values"]) for channel, spread in seen["field"].items() if spread["values"]]
    return who.show(
        "version_devices.html",
        release=found,
        server=server,
        arrival=plots.spreads(about, arrived, f"server: {server:.2f}", server, "%"),
        field=plots.spreads(f"Change of {name} in the field by channel", field, "the parent", 0.0, "points"),
    )


async def _drifts(who: Caller, model: str, versions: Sequence[Answer]) -> dict[int, float]:
    """Return drift by version, where it is known."""
    if not versions:
        return {}
    ids = {row["candidate_id"]: row["number"] for row in versions}
    found = await who.get("/v1/candidates", model=model, after=min(ids) - 1, limit=500)
    known = {ids[row["id"]]: measured.drift(row) for row in found["items"] if row["id"] in ids}
    return {number: points for number, points in known.items() if points is not None}


def _rates(versions: Sequence[Answer]) -> dict[str, dict[int, float]]:
    """Return error rates by test set and version."""
    found: dict[str, dict[int, float]] = {}
    for row in versions:
        for name, rate in measured.rates(row).items():
            found.setdefault(name, {})[row["number"]] = rate
    return found


def _pictures(versions: Sequence[Answer], drifts: Mapping[int, float]) -> dict[str, Any]:
    """Return the error rates of few test sets and of all on average, and drift; all of them stand in a table."""
    sets = {row["number"]: measured.rates(row) for row in versions}
    means = {number: fmean(rates.values()) for number, rates in sets.items() if rates}
    by_set = _rates(versions)
    names = list(by_set)
    drawn = {"all, mean": means, **{name: by_set[name] for name in dict.fromkeys([*names[:1], *names[-2:]])}}
    drawn = {name: line for name, line in drawn.items() if len(line) > 1}
    return {
        "rates": plots.lines("Error rate in percent by version", drawn, "version"),
        "drift": plots.lines(
            "Drift against the full chain in points by version", {"drift": drifts} if drifts else {}, "version"
        ),
    }
