"""Candidates: side by side with what speaks against each, and publishing where the server holds the model's key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from diffserver.api.fields import RowId
from diffserver.console import measured
from diffserver.console.fields import Given
from diffserver.console.guard import Caller, ConsoleRoute, Operator
from diffserver.console.link import Link
from diffserver.console.publishing import plan_of
from diffserver.errors import DiffServerError

NAV = Link("Candidates", "/console/candidates")
router = APIRouter(route_class=ConsoleRoute)

SHOWN, BESIDE = 25, 6
"""Candidates on a page, and the most that stand side by side."""

NOBODY = {"devices": 0, "stage": 0}
"""Whom a version reaches in a channel that is not there yet."""


@router.get("/console/candidates")
async def candidates(who: Operator, model: str = "", after: int = 0) -> Response:
    """Show candidates, the newest first, of one model where one is asked for."""
    found = await who.get("/v1/candidates", model=model or None, limit=SHOWN, after=after, newest=True)
    models = [row["name"] for row in (await who.get("/v1/models", limit=500))["items"]]
    return who.show("candidates.html", found=found, models=models, model=model, measured=measured)


@router.get("/console/candidates/beside")
async def beside(who: Operator, c: Annotated[Sequence[RowId], Query(max_length=BESIDE)] = ()) -> Response:
    """Show some candidates side by side."""
    rows = [await who.get(f"/v1/candidates/{number}") for number in dict.fromkeys(c)]
    sets = {row["id"]: {one.name: one for one in measured.test_sets(row["evaluation"])} for row in rows}
    names = list(dict.fromkeys(name for of_one in sets.values() for name in of_one))
    return who.show("candidates_beside.html", rows=rows, sets=sets, names=names, measured=measured)


@router.get("/console/candidates/{candidate_id}")
async def candidate(who: Operator, candidate_id: RowId) -> Response:
    """Show one candidate, and how it can be published."""
    return await _page(who, candidate_id, {})


@router.get("/console/candidates/{candidate_id}/publish")
async def confirm(who: Operator, candidate_id: RowId) -> Response:
    """Say what publishing would do, to how many devices and with how many bytes, before it is done."""
    who.require("publisher")
    typed = who.request.query_params
    try:
        plan = plan_of(typed)
        terms = plan.terms()
    except DiffServerError as error:
        return await _page(who, candidate_id, typed, error)
    found = await who.get(f"/v1/candidates/{candidate_id}")
    channels = (await who.get(f"/v1/models/{found['model']}/channels"))["items"]
    channel = next((row for row in channels if row["name"] == plan.channel), None)
    path = f"/v1/models/{found['model']}/channels/{plan.channel}/reach"
    reach = await who.get(path, stage=plan.first, only=terms.only) if channel else NOBODY
    return who.show("candidate_publish.html", found=found, plan=plan, channel=channel, reach=reach, terms=terms)


@router.post("/console/candidates/{candidate_id}/publish")
async def publish(who: Operator, candidate_id: RowId) -> Response:
    """Make the candidate its model's next version; what speaks against it is said above the form."""
    who.require("publisher")
    try:
        plan = plan_of(who.form)
        made = await who.send("POST", f"/v1/candidates/{candidate_id}/publish", plan.body())
    except DiffServerError as error:
        return await _page(who, candidate_id, who.form, error)
    if plan.stages:
        rollouts = await who.all("/v1/rollouts", model=made["model"])
        begun = next(row for row in reversed(rollouts) if row["to_version"] == made["number"])
        return who.go(f"/console/rollouts/{begun['id']}")
    return who.go(f"/console/models/{made['model']}/versions/{made['number']}")


@router.post("/console/candidates/{candidate_id}/delete")
async def delete(who: Operator, candidate_id: RowId) -> Response:
    """Delete a candidate that was not published."""
    who.require("publisher")
    await who.send("DELETE", f"/v1/candidates/{candidate_id}")
    return who.go("/console/candidates")


async def _page(who: Caller, number: int, given: Given, problem: DiffServerError | None = None) -> Response:
    found = await who.get(f"/v1/candidates/{number}")
    channels = (await who.get(f"/v1/models/{found['model']}/channels"))["items"]
    values = {"found": found, "measured": measured, "channels": channels, "given": given}
    return who.show("candidate.html", problem=problem, signs_here=await _signs_here(who, found["model"]), **values)


async def _signs_here(who: Caller, model: str) -> bool:
    """Tell whether the server signs for a model; a new model's role is signed by `targets`."""
    roles = {row["role"]: bool(row["signs_here"]) for row in (await who.get("/v1/roles"))["items"]}
    return roles.get(model, roles.get("targets", False))
