"""The endpoints of devices: enrol, poll, say what is held, report."""

from datetime import timedelta

from fastapi import APIRouter, Depends, Request

from diffserver.api.access import Config, Counts, Database, DeviceToken, Enroller, TokenFirst, Writing
from diffserver.api.answers import EnrollAnswer, PollAnswer, ReportCreated
from diffserver.api.limits import PollGate
from diffserver.api.problems import CALLER, declared
from diffserver.api.requests import EnrollRequest, PollRequest, ReportRequest, StateRequest
from diffserver.catalog import audit, clones, devices, quotas, tokens
from diffserver.catalog.admin import device_changes
from diffserver.errors import Unauthenticated
from diffserver.rollouts.answer import answer
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Device, Report, Token

router = APIRouter(prefix="/v1", tags=["devices"], route_class=TokenFirst)


@router.post("/enroll", status_code=201, dependencies=[Writing], responses=declared(*CALLER, 404))
def enroll(body: EnrollRequest, engine: Database, who: Enroller) -> EnrollAnswer:
    """Take a device in and give it a token of its own; the one that it was before leaves."""
    with writing(engine) as session:
        tokens.spend(session, who)
        device, secret = devices.enroll(session, body.model, body.name, body.channel, body.attributes)
        former = tokens.holder(session, body.replaces) if body.replaces else None
        if former is not None:
            device_changes.decommission(session, former)
        replaced = None if former is None else former.id
        audit.record(session, who, "device.enroll", device.model, device=device.id, replaced=replaced)
    return EnrollAnswer(
        device_id=device.id, token=secret, model=device.model, channel=device.channel, replaced=replaced
    )


@router.post("/device/poll", dependencies=[Depends(PollGate.admit)], responses=declared(*CALLER, 409))
def poll(body: PollRequest, request: Request, engine: Database, config: Config, who: DeviceToken) -> PollAnswer:
    """Say what a device that holds `digest` shall do: nothing, or the cheapest steps to the target."""
    device = _device(who)
    with reading(engine) as session:
        found = answer(session, device, body.holding(), body.full_fallback, body.without)
    _remember(engine, device, body, request, config)
    return PollAnswer(
        action="update" if found.steps else "none",
        version=found.number,
        digest=found.digest,
        steps=list(found.steps),
        poll_seconds=config.poll_seconds,
        notice=found.notice,
    )


@router.post("/device/state", status_code=204, dependencies=[Depends(PollGate.admit)], responses=declared(*CALLER))
def tell(body: StateRequest, request: Request, engine: Database, config: Config, who: DeviceToken) -> None:
    """Take note of what a device holds and how far its update is, between polls."""
    _remember(engine, _device(who), body, request, config)


def _remember(engine: Database, device: Device, body: StateRequest, request: Request, config: Config) -> None:
    # Whoever is there polls more often than this, with all jitter.
    silent_for = max(clones.SILENT_FOR, timedelta(seconds=4 * config.poll_seconds))
    if not devices.remember(engine, device, body.holding(), body.client, body.boot, silent_for):
        request.state.note = "that the device was seen is not written down"


def _within_quota(engine: Database, config: Config, who: DeviceToken) -> None:
    """Before the report waits to be written: a device that reports too much waits for no writer, and no one for it."""
    with reading(engine) as session:
        quotas.require_reports(session, _device(who).id, config.quotas)


@router.post(
    "/device/reports",
    status_code=201,
    dependencies=[Depends(_within_quota), Writing],
    responses=declared(*CALLER),
)
def report(body: ReportRequest, engine: Database, counts: Counts, who: DeviceToken) -> ReportCreated:
    """Record what became of an update (installed, failed at a stage, postponed, rolled back), or errors in the field.

    A report that comes again, by its `report_id`, is answered as at first.
    """
    new = Report(**body.model_dump())
    with writing(engine) as session:
        row = devices.record_report(session, _device(who), new)
    if row is new:
        counts.reported(row)
    return ReportCreated(id=row.id)


def _device(token: Token) -> Device:
    if token.device is None:
        raise Unauthenticated("the token belongs to no device", "enrol the device again")
    return token.device
