"""Rollouts: all of them, one with its gate, and what is done to it, each act after a page that asks once more."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from diffserver.api.fields import ModelName, RowId
from diffserver.console import fields
from diffserver.console.fields import Given
from diffserver.console.guard import Caller, ConsoleRoute, Operator
from diffserver.console.link import Link
from diffserver.console.publishing import plan_of
from diffserver.errors import DiffServerError

NAV = Link("Rollouts", "/console/rollouts")
router = APIRouter(route_class=ConsoleRoute)

Act = Literal["pause", "resume", "approve", "abort"]
Number = Annotated[int | None, Query(ge=0, le=2**31 - 1)]


@router.get("/console/rollouts")
async def all_rollouts(who: Operator) -> Response:
    """Show all rollouts, the latest first."""
    models = (await who.get("/v1/models"))["items"]
    return who.show("rollouts.html", rollouts=(await who.all("/v1/rollouts"))[::-1], models=models)


@router.get("/console/rollouts/new/{model}")
async def new_rollout(who: Operator, model: ModelName, version: Number = None) -> Response:
    """Ask how a version shall reach a channel."""
    who.require("publisher")
    return await _form(who, model, {} if version is None else {"version": str(version)})


@router.post("/console/rollouts/new/{model}")
async def start_rollout(who: Operator, model: ModelName) -> Response:
    """Start a rollout; what speaks against it is said above the form."""
    who.require("publisher")
    try:
        body = {"version": fields.whole(who.form, "version"), **plan_of(who.form).way()}
        started = await who.send("POST", f"/v1/models/{model}/rollouts", body)
    except DiffServerError as error:
        return await _form(who, model, who.form, error)
    return who.go(f"/console/rollouts/{started['id']}")


@router.get("/console/rollouts/{rollout_id}")
async def one_rollout(who: Operator, rollout_id: RowId) -> Response:
    """Show a rollout and what can be done to it."""
    return who.show("rollout.html", **await _found(who, rollout_id))


@router.get("/console/rollouts/{rollout_id}/now")
async def rollout_now(who: Operator, rollout_id: RowId) -> Response:
    """Show how far a rollout has come, as a part."""
    return who.show("rollout_now.html", **await _found(who, rollout_id))


@router.get("/console/rollouts/{rollout_id}/{act}")
async def ask_before(who: Operator, rollout_id: RowId, act: Act) -> Response:
    """Say what an act would do, and to how many devices."""
    who.require("publisher")
    rollout = await who.get(f"/v1/rollouts/{rollout_id}")
    path = f"/v1/models/{rollout['model']}/channels/{rollout['channel']}/way/{rollout['from_version']}"
    return who.show("rollout_act.html", rollout=rollout, act=act, way=await who.get(path) if act == "abort" else None)


@router.post("/console/rollouts/{rollout_id}/{act}")
async def do(who: Operator, rollout_id: RowId, act: Act) -> Response:
    """Do it."""
    reason = fields.text(who.form, "reason")
    await who.send("POST", f"/v1/rollouts/{rollout_id}/{act}", {"reason": reason} if reason else {})
    return who.go(f"/console/rollouts/{rollout_id}")


@router.get("/console/models/{model}/recall/{channel}")
async def ask_where_to(who: Operator, model: ModelName, channel: str, version: Number = None) -> Response:
    """Ask to which version a channel shall go back, and say what that takes."""
    who.require("publisher")
    versions = (await who.all(f"/v1/models/{model}/versions"))[::-1]
    channels = (await who.get(f"/v1/models/{model}/channels"))["items"]
    stands = next((found["version"] for found in channels if found["name"] == channel), None)
    parents = {found["number"]: found["parent"] for found in versions}
    to = version if version is not None else parents.get(stands)
    way = None if to is None else await who.get(f"/v1/models/{model}/channels/{channel}/way/{to}")
    values: dict[str, Any] = {
        "model": model,
        "channel": channel,
        "stands": stands,
        "to": to,
        "way": way,
        "versions": versions,
    }
    return who.show("recall.html", **values)


@router.post("/console/models/{model}/recall/{channel}")
async def recall(who: Operator, model: ModelName, channel: str) -> Response:
    """Move the channel."""
    body = {"version": fields.whole(who.form, "version"), "channel": channel}
    await who.send("POST", f"/v1/models/{model}/channel", body)
    return who.go("/")


async def _form(who: Caller, model: str, given: Given, problem: DiffServerError | None = None) -> Response:
    versions = (await who.all(f"/v1/models/{model}/versions"))[::-1]
    channels = (await who.get(f"/v1/models/{model}/channels"))["items"]
    values = {"model": model, "versions": versions, "channels": channels, "given": given}
    return who.show("rollout_new.html", problem=problem, **values)


async def _found(who: Caller, rollout_id: int) -> dict[str, Any]:
    rollout = await who.get(f"/v1/rollouts/{rollout_id}")
    return {"rollout": rollout, "looks": (await who.get(f"/v1/rollouts/{rollout_id}/looks"))["items"]}
