"""Devices: found by name, channel or trouble, and one's history."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from diffserver.api.fields import DeviceId
from diffserver.console.guard import ConsoleRoute, Operator
from diffserver.console.link import Link

NAV = Link("Devices", "/console/devices")
router = APIRouter(route_class=ConsoleRoute)

SHOWN = 50
Text = Annotated[str, Query(max_length=100)]
AMISS = ("behind", "stuck", "failed")


@router.get("/console/devices")
async def list_devices(
    who: Operator, model: Text = "", search: Text = "", channel: Text = "", only: Text = "", after: Text = ""
) -> Response:
    """Show the devices of a model that are as asked."""
    models = [found["name"] for found in (await who.get("/v1/models"))["items"]]
    model = model or next(iter(models), "")
    values: dict[str, Any] = {"models": models, "model": model, "search": search, "channel": channel, "only": only}
    if not model:
        return who.show("devices.html", devices=[], next=None, channels=[], **values)
    channels = [found["name"] for found in (await who.get(f"/v1/models/{model}/channels"))["items"]]
    which: dict[str, Any] = {"search": search or None, "channel": channel or None} | (
        {only: "true"} if only in AMISS else {}
    )
    found = await who.get(f"/v1/models/{model}/devices", limit=SHOWN, after=after, **which)
    return who.show("devices.html", devices=found["items"], next=found["next"], channels=channels, **values)


@router.get("/console/devices/{device_id}")
async def one_device(who: Operator, device_id: DeviceId) -> Response:
    """Show a device, what it holds, and its last reports."""
    return who.show("device.html", device=await who.get(f"/v1/devices/{device_id}"))
