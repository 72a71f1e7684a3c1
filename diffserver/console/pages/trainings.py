"""Trainings: how far they are, what their workers say, submitting one and cancelling one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from diffserver.api.fields import RowId
from diffserver.catalog.training_request import methods_to_ask_for
from diffserver.console import fields, plots
from diffserver.console.fields import Given
from diffserver.console.guard import Caller, ConsoleRoute, Operator
from diffserver.console.link import Link
from diffserver.errors import DiffServerError

NAV = Link("Trainings", "/console/trainings")
router = APIRouter(route_class=ConsoleRoute)

SHOWN, LINES = 25, 500
"""Trainings on a page, and the lines of a log, the latest ones."""


@router.get("/console/trainings")
async def trainings(who: Operator, model: str = "", after: int = 0) -> Response:
    """Show trainings, the newest first, of one model where one is asked for."""
    return who.show("trainings.html", **await _listed(who, model, after))


@router.get("/console/trainings/list")
async def listed(who: Operator, model: str = "", after: int = 0) -> Response:
    """Show the same as a part of the page."""
    return who.show("trainings_list.html", **await _listed(who, model, after))


@router.get("/console/trainings/new")
async def new(who: Operator) -> Response:
    """Ask what is to be trained."""
    who.require("publisher")
    return await _form(who, {}, None)


@router.post("/console/trainings/new")
async def submit(who: Operator) -> Response:
    """Queue a training; what the API has against it is said above the form."""
    who.require("publisher")
    try:
        made = await who.send("POST", "/v1/trainings", _request(who.form))
    except DiffServerError as error:
        return await _form(who, who.form, error)
    return who.go(f"/console/trainings/{made['id']}")


@router.get("/console/trainings/{training_id}")
async def training(who: Operator, training_id: RowId) -> Response:
    """Show one training."""
    return who.show("training.html", **await _state(who, training_id))


@router.get("/console/trainings/{training_id}/state")
async def state(who: Operator, training_id: RowId) -> Response:
    """Show how far it is and what was said last; a part of its page."""
    return who.show("training_state.html", **await _state(who, training_id))


@router.post("/console/trainings/{training_id}/cancel")
async def cancel(who: Operator, training_id: RowId) -> Response:
    """Cancel a training for good."""
    who.require("publisher")
    await who.send("DELETE", f"/v1/trainings/{training_id}")
    return who.go(f"/console/trainings/{training_id}")


async def _listed(who: Caller, model: str, after: int) -> dict[str, Any]:
    found = await who.get("/v1/trainings", model=model or None, limit=SHOWN, after=after, newest=True)
    return {"found": found, "model": model, "after": after}


async def _state(who: Caller, training_id: int) -> dict[str, Any]:
    found = await who.get(f"/v1/trainings/{training_id}")
    said = (await who.get(f"/v1/trainings/{training_id}/log", limit=LINES, newest=True))["items"]
    losses = (await who.get(f"/v1/trainings/{training_id}/losses"))["items"]
    return {"found": found, "said": said, "loss": plots.lines("Loss by step", _curves(losses), "step")}


def _curves(losses: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    """Return the loss by step, for each training that the request takes."""
    found: dict[str, dict[int, float]] = {}
    for point in losses:
        found.setdefault(point["part"] or "loss", {})[point["step"]] = point["loss"]
    return found


async def _form(who: Caller, given: Given, problem: DiffServerError | None) -> Response:
    models = (await who.get("/v1/models", limit=500))["items"]
    methods = methods_to_ask_for()
    return who.show("training_new.html", problem=problem, given=given, models=models, methods=methods)


def _request(given: Given) -> dict[str, Any]:
    """Return the API's request; what was not typed is left to its defaults. Raises Invalid."""
    asked = {
        **{name: fields.text(given, name) for name in ("kind", "model", "channel", "task", "data", "domain")},
        **{name: fields.text(given, name) for name in ("method", "device")},
        **{name: fields.whole(given, name) for name in ("epochs", "seed", "priority")},
        **{name: fields.number(given, name) for name in ("max_drift", "max_regression")},
        "budget": fields.percent(given, "budget"),
    }
    return {name: value for name, value in asked.items() if value is not None}
