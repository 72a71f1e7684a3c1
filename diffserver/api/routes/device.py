"""What devices call: enrol, poll, report."""

from fastapi import APIRouter, Depends

from diffserver.api.access import Config, Database, DeviceToken, Enroller
from diffserver.api.answers import EnrollAnswer, PollAnswer, ReportCreated
from diffserver.api.limits import PollGate
from diffserver.api.requests import EnrollRequest, PollRequest, ReportRequest
from diffserver.catalog import devices
from diffserver.errors import Unauthenticated
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Device, Report, Token

router = APIRouter(prefix="/v1", tags=["devices"])


@router.post("/enroll", status_code=201)
def enroll(body: EnrollRequest, engine: Database, _who: Enroller) -> EnrollAnswer:
    """Take a device in and give it a token of its own."""
    with writing(engine) as session:
        device, secret = devices.enroll(session, body.model, body.name, body.channel)
    return EnrollAnswer(device_id=device.id, token=secret, model=device.model, channel=device.channel)


@router.post("/device/poll", dependencies=[Depends(PollGate.admit)])
def poll(body: PollRequest, engine: Database, config: Config, who: DeviceToken) -> PollAnswer:
    """Say what a device that holds `digest` shall do: nothing, or the cheapest steps to the target."""
    device = _device(who)
    with reading(engine) as session:
        answer = devices.answer(session, device, body.digest, body.full_fallback, body.without)
    devices.remember(engine, device, body.digest, body.client)
    return PollAnswer(
        action="update" if answer.steps else "none",
        version=answer.number,
        digest=answer.digest,
        steps=list(answer.steps),
        poll_seconds=config.poll_seconds,
        notice=answer.notice,
    )


@router.post("/device/reports", status_code=201)
def report(body: ReportRequest, engine: Database, who: DeviceToken) -> ReportCreated:
    """Record what became of an update: installed, failed at a stage, or rolled back."""
    with writing(engine) as session:
        made = devices.record_report(session, _device(who), Report(**body.model_dump()))
    return ReportCreated(id=made.id)


def _device(token: Token) -> Device:
    if token.device is None:
        raise Unauthenticated("the token belongs to no device", "enrol the device again")
    return token.device
