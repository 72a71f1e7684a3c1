"""Devices as operators see and change them: lists, one by its id, moved, described, shut out, taken out of service."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from diffserver.api.access import Admin, AfterText, Config, Database, Limit, TokenFirst, Viewer, Writing, page
from diffserver.api.answers import DeviceAnswer, DeviceDetailAnswer, Page, ReportAnswer
from diffserver.api.fields import DeviceId, ModelName, Name
from diffserver.api.problems import CALLER, declared
from diffserver.api.requests import DeviceChangeRequest
from diffserver.catalog import audit, devices, tokens, versions
from diffserver.catalog.admin import device_changes
from diffserver.rollouts.behind import amiss
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing

router = APIRouter(prefix="/v1", tags=["devices"], route_class=TokenFirst, responses=declared(*CALLER, 404))

LAST_REPORTS = 20

Attributes = Annotated[
    list[Annotated[str, Query(pattern=r"^[a-z][a-z0-9_.-]{0,63}=.{1,100}$")]],
    Query(max_length=devices.MOST_ATTRIBUTES, examples=[["region=eu"]], description="Those with all of these."),
]


@router.get("/models/{model}/devices")
def list_devices(
    model: ModelName,
    engine: Database,
    config: Config,
    _who: Viewer,
    channel: Annotated[Name | None, Query(description="Those that follow this channel.")] = None,
    attribute: Attributes = [],  # noqa: B006  # a query parameter's default, which no one changes
    left: Annotated[bool, Query(description="Also those that were taken out of service.")] = False,
    behind: Annotated[bool, Query(description="Those that run another version than they shall.")] = False,
    stuck: Annotated[
        bool,
        Query(description="Those silent in the middle of an update, or behind for more than a week."),
    ] = False,
    failed: Annotated[bool, Query(description="Those whose last update failed.")] = False,
    search: Annotated[
        str | None, Query(min_length=1, max_length=100, description="Those whose id or name begins so.")
    ] = None,
    limit: Limit = 100,
    after: AfterText = "",
) -> Page[DeviceAnswer]:
    """A model's devices in the order of their enrolment, each with its last report.

    Of several filters, all have to hold.
    """
    asked = {"behind": behind, "stuck": stuck, "failed": failed}
    with reading(engine) as session:
        versions.find_model(session, model)
        found = amiss(session, model, utc_now(), _longest(config)) if any(asked.values()) else {}
        conditions = tuple(condition for what, condition in found.items() if asked[what])
        conditions += () if search is None else (devices.named(model, search),)
        which = devices.Which(channel, dict(map(_pair, attribute)), left, conditions)
        rows = devices.standings(session, model, after, limit + 1, _longest(config), which)
    return page(rows, limit, DeviceAnswer, lambda device: device.id)


@router.get("/devices/{device_id}")
def get_device(device_id: DeviceId, engine: Database, config: Config, _who: Viewer) -> DeviceDetailAnswer:
    """One device with its attributes and its last reports, also one that was taken out of service."""
    with reading(engine) as session:
        found = DeviceDetailAnswer.model_validate(devices.standing(session, device_id, _longest(config)))
        reports = devices.last_reports(session, device_id, LAST_REPORTS)
        return found.model_copy(update={"reports": [ReportAnswer.model_validate(report) for report in reports]})


@router.patch("/devices/{device_id}", dependencies=[Writing], responses=declared(409))
def change_device(
    device_id: DeviceId, body: DeviceChangeRequest, engine: Database, config: Config, who: Admin
) -> DeviceAnswer:
    """Name a device, move it to another channel, change its attributes; it follows at its next poll."""
    with writing(engine) as session:
        device = device_changes.change(session, device_id, **body.model_dump())
        given = body.model_dump(exclude_unset=True)
        audit.record(session, who, "device.change", device.model, device=device_id, **given)
        return DeviceAnswer.model_validate(devices.standing(session, device_id, _longest(config)))


@router.delete("/devices/{device_id}", dependencies=[Writing])
def decommission_device(device_id: DeviceId, engine: Database, config: Config, who: Admin) -> DeviceAnswer:
    """Take a device out of service: its tokens end, and lists and counts leave it out. Its reports stay."""
    with writing(engine) as session:
        device = devices.find(session, device_id)
        if device_changes.decommission(session, device):
            audit.record(session, who, "device.decommission", device.model, device=device_id)
        return DeviceAnswer.model_validate(devices.standing(session, device_id, _longest(config)))


@router.post("/devices/{device_id}/revoke", dependencies=[Writing])
def revoke_device(device_id: DeviceId, engine: Database, config: Config, who: Admin) -> DeviceAnswer:
    """End a device's tokens: it polls no more until it has enrolled again."""
    with writing(engine) as session:
        device = devices.find(session, device_id)
        tokens.revoke_device(session, device)
        audit.record(session, who, "device.revoke", device.model, device=device_id)
        return DeviceAnswer.model_validate(devices.standing(session, device_id, _longest(config)))


def _longest(config: Config) -> timedelta:
    return timedelta(seconds=config.update_seconds)


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value
