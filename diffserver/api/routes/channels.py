"""Channels: which ones a model has and where they stand, made and set by admins.

Moving one is left to `trust` and to rollouts.
"""

from typing import Annotated

from fastapi import APIRouter, Query

from diffserver.api.access import Admin, Database, Keys, TokenFirst, Viewer, Writing
from diffserver.api.answers import ChannelAnswer, Page, ReachAnswer, WayAnswer
from diffserver.api.fields import ChannelName, ModelName, VersionNumber
from diffserver.api.problems import CALLER, declared
from diffserver.api.requests import ChannelChangeRequest, NewChannelRequest
from diffserver.catalog import audit, channels, versions
from diffserver.rollouts.plan import Conditions, stage_of
from diffserver.rollouts.progress import foreseen
from diffserver.storage.database import reading, writing
from diffserver.trust import releases

router = APIRouter(
    prefix="/v1/models/{model}/channels",
    tags=["channels"],
    route_class=TokenFirst,
    responses=declared(*CALLER, 404),
)


FirstStage = Annotated[str, Query(max_length=200, examples=["10%"], description="As one of a rollout's stages.")]
Only = Annotated[
    list[str], Query(max_length=100, examples=[["region=eu"]], description="As in a rollout's conditions.")
]


@router.get("")
def list_channels(model: ModelName, engine: Database, _who: Viewer) -> Page[ChannelAnswer]:
    """A model's channels, all of them, by name."""
    with reading(engine) as session:
        rows = channels.standings(session, model)
        return Page(items=[ChannelAnswer.model_validate(row) for row in rows], next=None)


@router.get("/{channel}/way/{number}")
def get_way(model: ModelName, channel: ChannelName, number: VersionNumber, engine: Database, _who: Viewer) -> WayAnswer:
    """What it would take to bring the channel's devices to a version, before it is asked of them."""
    with reading(engine) as session:
        return WayAnswer.model_validate(channels.way(session, model, channel, number))


@router.get("/{channel}/reach")
def get_reach(
    model: ModelName,
    channel: ChannelName,
    engine: Database,
    _who: Viewer,
    stage: FirstStage = "100%",
    only: Only = [],  # noqa: B006  # a query parameter's default, which no one changes
) -> ReachAnswer:
    """How many of the channel's devices a rollout would be for, and one of its stages come to, before it begins."""
    of_them, first = Conditions(only=tuple(only)).filter(), stage_of(stage)
    with reading(engine) as session:
        return ReachAnswer.model_validate(foreseen(session, model, channel, of_them, first))


@router.post("", status_code=201, dependencies=[Writing], responses=declared(409))
def create_channel(
    model: ModelName, body: NewChannelRequest, engine: Database, keys: Keys, who: Admin
) -> ChannelAnswer:
    """Make a channel at a version; devices follow it that enrol for it or are moved to it.

    That devices of later versions may go back to this one is signed now, or with the next change of the model where its
    key is elsewhere.
    """
    with writing(engine) as session:
        made = channels.create(session, model, body.name, body.version, body.two_persons)
        if made.digest is not None:
            releases.settle(session, keys, model)
        shown = ChannelAnswer.model_validate(channels.standing(session, model, body.name))
        details = {"channel": body.name, "version": shown.version, "two_persons": body.two_persons}
        audit.record(session, who, "channel.create", model, **details)
    return shown


@router.patch("/{channel}", dependencies=[Writing])
def change_channel(
    model: ModelName, channel: ChannelName, body: ChannelChangeRequest, engine: Database, who: Admin
) -> ChannelAnswer:
    """Say whether it takes two persons to move a channel."""
    with writing(engine) as session:
        versions.find_channel(session, model, channel).two_persons = body.two_persons
        audit.record(session, who, "channel.change", model, channel=channel, two_persons=body.two_persons)
        return ChannelAnswer.model_validate(channels.standing(session, model, channel))
