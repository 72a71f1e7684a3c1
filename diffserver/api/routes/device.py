"""The endpoints of devices: enrol, poll, say what is held, report."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from fastapi import APIRouter, Depends, Request
from sqlalchemy.orm import Session

from diffclient.network.holding import Holding
from diffserver.api import shown
from diffserver.api.access import AskingDevice, Config, Counts, Database, DeviceToken, Enroller, Remembered, TokenFirst
from diffserver.api.answers import EnrollAnswer, PollAnswer, ReportCreated
from diffserver.api.limits import PollGate
from diffserver.api.problems import CALLER, declared
from diffserver.api.requests import EnrollRequest, PollRequest, ReportRequest, StateRequest
from diffserver.catalog import audit, clones, devices, quotas, tokens
from diffserver.catalog.admin import device_changes
from diffserver.catalog.devices import Seen
from diffserver.errors import Unauthenticated
from diffserver.polls.notes import Notes
from diffserver.polls.together import Together
from diffserver.rollouts.answer import answer
from diffserver.settings import Quotas
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading
from diffserver.storage.tables import Channel, Device, Report, Token
from diffserver.trust import metadata_rows

router = APIRouter(prefix="/v1", tags=["devices"], route_class=TokenFirst)

Enrolments = Together[tuple[EnrollRequest, Token], EnrollAnswer]
Reports = Together[Report, int]


@router.post("/enroll", status_code=201, responses=declared(*CALLER, 404))
async def enroll(body: EnrollRequest, request: Request, who: Enroller) -> EnrollAnswer:
    """Take a device in and give it a token of its own; the one that it was before leaves."""
    enrolments: Enrolments = request.app.state.enrolments
    return await enrolments.add((body, who))


@router.post("/device/poll", dependencies=[Depends(PollGate.admit)], responses=declared(*CALLER, 409))
def poll(
    body: PollRequest, request: Request, engine: Database, config: Config, memory: Remembered, who: DeviceToken
) -> PollAnswer:
    """Say what a device that holds `digest` shall do: nothing, or the cheapest steps to the target."""
    device, metadata = _device(who), memory.metadata()
    book = memory.book(device.model)
    if book.known_course(device.channel) is None:
        metadata.standing = None  # what stands is never older than where the channel leads
    with reading(engine) as session:
        found = answer(session, device, body.holding(), body.full_fallback, body.without, book)
        if metadata.standing is None:
            metadata.standing = metadata_rows.standing(session)
    _remember(engine, device, body, request, config)
    return shown.poll(found, metadata.standing, config.poll_seconds)


@router.post("/device/state", status_code=204, dependencies=[Depends(PollGate.admit)], responses=declared(*CALLER))
def tell(body: StateRequest, request: Request, engine: Database, config: Config, who: DeviceToken) -> None:
    """Take note of what a device holds and how far its update is, between polls."""
    _remember(engine, _device(who), body, request, config)


def _remember(engine: Database, device: Device, body: StateRequest, request: Request, config: Config) -> None:
    row = Holding(device.digest, device.previous, device.stage)
    if (row, device.client, device.boot) == (body.holding(), body.client, body.boot):
        notes: Notes = request.app.state.notes
        notes.add(Seen(device.id, utc_now(), row, body.client, body.boot))
        return
    # Whoever is there polls more often than this, with all jitter.
    silent_for = max(clones.SILENT_FOR, timedelta(seconds=4 * config.poll_seconds))
    if not devices.remember(engine, device, body.holding(), body.client, body.boot, silent_for):
        request.state.note = "that the device was seen is not written down"


@router.post("/device/reports", status_code=201, responses=declared(*CALLER))
async def report(body: ReportRequest, request: Request, counts: Counts, device: AskingDevice) -> ReportCreated:
    """Record what became of an update (installed, failed at a stage, postponed, rolled back), or errors in the field.

    A report that comes again, by its `report_id`, is answered as at first.
    """
    reports: Reports = request.app.state.reports
    new = Report(device_id=device, **body.model_dump())
    number = await reports.add(new)
    if new.id == number:  # and not one that came before
        counts.reported(new)
    return ReportCreated(id=number)


def enroll_all(session: Session, items: Sequence[tuple[EnrollRequest, Token]]) -> list[EnrollAnswer]:
    """Enrol devices in one transaction, each by the token that it was asked with; the first error ends it."""
    asking = {who.id: who for _, who in items}
    for number, times in Counter(who.id for _, who in items).items():
        tokens.spend(session, asking[number], times)
    channels = {(body.model, body.channel) for body, _ in items}
    # Held by the session, which otherwise would ask for one again as soon as nobody else has it.
    session.info["channels"] = [session.get(Channel, channel) for channel in channels]
    with session.no_autoflush:
        return [_enroll(session, body, who) for body, who in items]


def record_all(session: Session, reports: Sequence[Report], limits: Quotas) -> list[int | Exception]:
    """Record reports in one transaction, but those of devices that have reported as much as they may."""
    refused = quotas.refused(session, {report.device_id for report in reports}, limits)
    recorded = iter(devices.record_reports(session, [one for one in reports if one.device_id not in refused]))
    return [refused.get(one.device_id) or next(recorded).id for one in reports]


def _enroll(session: Session, body: EnrollRequest, who: Token) -> EnrollAnswer:
    device, secret = devices.enroll(session, body.model, body.name, body.channel, body.attributes)
    former = tokens.holder(session, body.replaces) if body.replaces else None
    if former is not None:
        device_changes.decommission(session, former)
    replaced = None if former is None else former.id
    audit.record(session, who, "device.enroll", device.model, device=device.id, replaced=replaced)
    return EnrollAnswer(
        device_id=device.id, token=secret, model=device.model, channel=device.channel, replaced=replaced
    )


def _device(token: Token) -> Device:
    if token.device is None:
        raise Unauthenticated("the token belongs to no device", "enrol the device again")
    return token.device
