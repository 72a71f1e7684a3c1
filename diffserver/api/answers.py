"""Answers: the bodies that callers get, each read off a row or a value of the service."""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AliasPath, BaseModel, BeforeValidator, ConfigDict, Field

from diffclient.network.report import Report
from diffclient.release.metric import Metric
from diffserver.api.derive import with_fields_of
from diffserver.api.fields import DIGEST
from diffserver.catalog.tokens import MadeFor
from diffserver.catalog.training_request import Kind

T = TypeVar("T")

METRIC = {"name": "WER", "counts": "words"}


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Page(_Answer, Generic[T]):
    """A part of a list; `next` is the `after` of the following part, or null."""

    items: list[T]
    next: int | str | None


class BlobAnswer(_Answer):
    """Bytes to be had at /v1/blobs/{sha256}."""

    sha256: str = Field(examples=[DIGEST])
    length: int = Field(examples=[81234])


class ToFetchAnswer(_Answer):
    """Bytes that a device at the parent fetches for a version, and for a base those of a device without any."""

    payload: int = Field(examples=[81234], description="Where there is none, those of the snapshot.")
    graph: int = Field(examples=[0], description="0 where the parent has it.")
    probes: int = Field(examples=[18400], description="Of the parts of the probe set that the parent does not have.")
    metadata: int | None = Field(examples=[3895], description="Null until it is signed.")
    total: int = Field(examples=[103529], description="All that are known.")


class ProbeSetAnswer(_Answer):
    """What the parts of a version's probe set have together."""

    items: int = Field(examples=[96])
    known: int = Field(examples=[94], description="Items that the version gets right.")
    chance_to_pass: float = Field(
        examples=[0.0006], description="Of a model that gets a tenth of the known items wrong, each by itself."
    )


class EnrollAnswer(_Answer):
    """The device's identity; the token is shown this once."""

    device_id: str
    token: str = Field(examples=["ds_device_…"])
    model: str
    channel: str
    replaced: str | None = Field(default=None, description="The device that it was before, now out of service.")


class StandingMetadata(_Answer):
    """The signed metadata in force, by what changes with it: a device that has verified these needs no other."""

    root: int = Field(examples=[1], description="The version of the root.")
    timestamp: str = Field(examples=[DIGEST], description="The SHA-256 of `timestamp.json`.")


class PollAnswer(_Answer):
    """The steps that lead a device from what it holds to its target, in order."""

    action: Literal["none", "update"]
    version: int | None = Field(examples=[3], description="The target's number; null if none is published.")
    digest: str | None = Field(examples=[DIGEST], description="The target's digest.")
    steps: list[str] = Field(
        examples=[["speech/v0/3.from.2"]], description="Names of targets, the first applied first."
    )
    poll_seconds: int = Field(examples=[300], description="When to poll again; add jitter.")
    notice: Literal["snapshot"] | None = Field(
        default=None, description="`snapshot`: only a snapshot leads to the target, and the device wants none."
    )
    metadata: StandingMetadata | None = Field(
        default=None, description="The signed metadata in force; null before trust is set up."
    )


class ReportCreated(_Answer):
    """The report's number."""

    id: int


@with_fields_of(Report)
class ReportAnswer(_Answer):
    """A report, and who made it."""

    id: int
    device_id: str
    device: str = Field(validation_alias=AliasPath("device", "name"), description="The device's name.")
    created: datetime = Field(validation_alias="created_at")


def _by_name(attributes: Any) -> Any:
    return {attribute.name: attribute.value for attribute in attributes}


class DeviceAnswer(_Answer):
    """A device, what it runs, and the last report it made."""

    id: str = Field(validation_alias=AliasPath("device", "id"))
    model: str = Field(validation_alias=AliasPath("device", "model"))
    name: str = Field(validation_alias=AliasPath("device", "name"))
    channel: str = Field(validation_alias=AliasPath("device", "channel"))
    attributes: Annotated[dict[str, str], BeforeValidator(_by_name)] = Field(
        validation_alias=AliasPath("device", "attributes"), examples=[{"region": "eu"}]
    )
    digest: str | None = Field(validation_alias=AliasPath("device", "digest"))
    version: int | None = Field(
        validation_alias="number", description="Null if it holds nothing, or no version of the model."
    )
    previous: str | None = Field(
        validation_alias=AliasPath("device", "previous"), description="The digest of the version that it keeps."
    )
    kept: int | None = Field(description="The number of that version.")
    stage: str | None = Field(
        validation_alias=AliasPath("device", "stage"),
        examples=["download"],
        description="The stage of an update that is under way.",
    )
    silent: bool = Field(description="It said nothing for longer than an update may take, in the middle of one.")
    cloned: bool = Field(
        description="Two machines used its identity within a day: revoke it, and enrol each of them by itself."
    )
    client: str = Field(validation_alias=AliasPath("device", "client"))
    enrolled: datetime = Field(validation_alias=AliasPath("device", "enrolled_at"))
    last_seen: datetime | None = Field(validation_alias=AliasPath("device", "last_seen"))
    left: datetime | None = Field(
        validation_alias=AliasPath("device", "left_at"),
        description="When it was taken out of service, or enrolled anew.",
    )
    last_report: ReportAnswer | None = Field(description="Of an update: never one of errors in the field.")


class DeviceDetailAnswer(DeviceAnswer):
    """A device with its last reports, the latest first."""

    reports: list[ReportAnswer] = []


class ModelAnswer(_Answer):
    """A model and where its channels point."""

    name: str
    task: str
    created: datetime
    archived: datetime | None = Field(description="Since when; nothing new is made of it, its devices are served.")
    head: int | None = Field(description="The number of the version that the channel stands at: the next one's parent.")
    newest: int | None = Field(description="The highest version's number; above `head` if that was recalled.")
    digest: str | None = Field(description="The digest of the head.")
    metric: Metric | None = Field(examples=[METRIC], description="The head's.")
    channels: dict[str, int | None] = Field(examples=[{"stable": 3}])


class VersionAnswer(_Answer):
    """A version, and how it was made."""

    model: str
    number: int
    digest: str
    parent: int | None
    kind: Kind = Field(validation_alias=AliasPath("candidate", "kind"))
    method: str = Field(validation_alias=AliasPath("candidate", "method"))
    candidate_id: int
    payload: BlobAnswer | None = Field(validation_alias=AliasPath("candidate", "payload"))
    payload_share: float = Field(validation_alias=AliasPath("candidate", "payload_share"))
    to_fetch: ToFetchAnswer | None = None
    probe_set: ProbeSetAnswer | None = Field(default=None, description="Null where there is none.")
    snapshot: BlobAnswer = Field(validation_alias=AliasPath("candidate", "snapshot"))
    graph: BlobAnswer = Field(validation_alias=AliasPath("candidate", "graph"))
    changed_weights: int = Field(validation_alias=AliasPath("candidate", "changed_weights"))
    metric: Metric = Field(validation_alias=AliasPath("candidate", "metric"), examples=[METRIC])
    errors: dict[str, dict[str, int]] = Field(
        examples=[{"base": {"errors": 12, "total": 400}}], description="By test set, of so many that were counted."
    )
    forced: bool = Field(description="Published in spite of refusals.")
    refusals: list[str] = Field(validation_alias=AliasPath("candidate", "refusals"))
    published_by: str
    published_at: datetime
    manifest: dict[str, Any] = Field(validation_alias=AliasPath("candidate", "manifest"))


class PercentilesAnswer(_Answer):
    """Percentiles of one value a device, with the number of devices behind them."""

    devices: int
    values: dict[str, float] | None = Field(
        examples=[{"5": -0.4, "25": -0.1, "50": 0.0, "75": 0.2, "95": 0.9}],
        description="The 5th, 25th, 50th, 75th and 95th; null where the devices are fewer than 20.",
    )


class OnDevicesAnswer(_Answer):
    """What devices measured of a version, by their latest reports."""

    arrival: PercentilesAnswer = Field(description="Error rates on the probe set, in percent.")
    difference: PercentilesAnswer = Field(description="The same minus the manifest's, in points.")
    field: dict[str, PercentilesAnswer] = Field(
        description="By channel: the error rate in the field minus that of the version's parent, in points, of devices "
        "that counted both."
    )


class VersionDetailAnswer(VersionAnswer):
    """A version with what devices measured of it."""

    model_config = ConfigDict(populate_by_name=True)

    on_devices: OnDevicesAnswer


class EntryAnswer(_Answer):
    """A version's line in the ledger."""

    version: int = Field(validation_alias="number")
    devices: int = Field(description="Those that reported that they installed it.")
    fetched: int = Field(description="Bytes of payloads, graph and probe set that devices reported, failures too.")
    metadata: int = Field(description="Bytes of metadata, reckoned: once for each of those devices.")
    snapshots: int = Field(description="Bytes that a snapshot for each of those devices would have taken.")


class LedgerAnswer(_Answer):
    """A model's ledger of bytes; versions without reports have no line."""

    versions: list[EntryAnswer]
    fetched: int
    metadata: int
    snapshots: int


class TallyAnswer(_Answer):
    """How many devices in service ran a version at a time."""

    at: datetime
    version: int | None = Field(description="Null: none, or one that is none of the model.")
    devices: int


class UpdateFailuresAnswer(_Answer):
    """Updates that did not come off, of one kind."""

    stage: Literal["failed", "rolled_back", "postponed"]
    at: str | None = Field(examples=["probation"], description="The stage of the update.")
    cause: str | None = Field(examples=["version"])
    reports: int
    devices: int


class TrainingAnswer(_Answer):
    """A training and how far it has come."""

    id: int
    model: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    progress: float = Field(examples=[0.5], description="0 to 1.")
    message: str
    error: str | None
    worker: str | None
    attempts: int = Field(description="How many workers were at it since it came further.")
    priority: int = Field(examples=[0], description="Higher ones come first.")
    candidate_id: int | None
    waiting: str | None = Field(
        default=None, examples=["a worker takes it soon"], description="Why nobody is at it, if somebody should be."
    )
    created: datetime = Field(validation_alias="created_at")
    started: datetime | None = Field(validation_alias="started_at")
    finished: datetime | None = Field(validation_alias="finished_at")
    spec: dict[str, Any]


class LineAnswer(_Answer):
    """A line of a training's log."""

    number: int = Field(examples=[17], description="From 1; of a long log the first lines are gone.")
    at: datetime
    level: Literal["info", "warning", "error"]
    worker: str = Field(description="Who says it.")
    text: str = Field(examples=["step 400 of 1250, loss 0.312"])


class LossAnswer(_Answer):
    """The loss of a training at one of its steps."""

    part: str = Field(examples=["2-sparse"], description="Which of the request's trainings; empty if it takes one.")
    step: int = Field(examples=[400])
    loss: float = Field(examples=[0.312])


class TryAnswer(_Answer):
    """A diff that was tried, or the reference of drift: error rate in percent, drift and regression in points."""

    method: str
    budget: float | None = Field(description="Null for the reference of drift.")
    mean_error_rate: float = Field(examples=[4.83], description="Over the base's test set and those of all updates.")
    drift: float | None = Field(
        examples=[1.04], description="Over the mean of the fully retrained model or of the checkpoint, if known."
    )
    regression: float | None = Field(description="The most that an earlier domain loses.")
    payload_bytes: int | None
    payload_share: float
    density: float | None = Field(examples=[0.1], description="Share of all weights that change.")
    levels: int | None = Field(description="How many different ones.")
    steps: tuple[float, float] | None = Field(description="The least and the largest quantiser step, as weights.")
    seconds: float | None
    trained: bool = Field(description="False if it stood in the catalogue.")
    chosen: bool


class CandidateAnswer(_Answer):
    """A candidate, what it would become, and what speaks against it."""

    id: int
    model: str
    kind: Kind
    method: str
    number: int
    parent_digest: str | None
    digest: str
    payload: BlobAnswer | None
    payload_share: float
    to_fetch: ToFetchAnswer | None = Field(default=None, description="Null where no device gets it.")
    probe_set: ProbeSetAnswer | None = Field(default=None, description="Null where there is none.")
    budget: float
    snapshot: BlobAnswer
    graph: BlobAnswer
    changed_weights: int
    seconds_train: float
    metric: Metric = Field(examples=[METRIC])
    evaluation: dict[str, dict[str, dict[str, int] | None]] = Field(
        examples=[{"base": {"parent": None, "candidate": {"errors": 12, "total": 400}}}],
        description="Errors by test set, of so many that were counted, before and after.",
    )
    refusals: list[str]
    manifest: dict[str, Any]
    domains: list[str]
    notes: list[str] = Field(description="What is worth knowing before it is published.")
    tried: list[TryAnswer] = Field(description="The trials that were made for it, and the reference of drift.")
    data: str
    state: Literal["open", "published"]
    created: datetime = Field(validation_alias="created_at")


class FailuresAnswer(_Answer):
    """Devices on which a version does not run, by where and why it failed."""

    stage: Literal["failed", "rolled_back"]
    at: str | None = Field(examples=["probation"], description="The stage of the update.")
    cause: str | None = Field(examples=["version"])
    devices: int


class VerdictAnswer(_Answer):
    """What the gate said when it last looked, in points of the error rate."""

    finding: Literal["pass", "no evidence of harm", "inconclusive", "harm"]
    reason: str = Field(description="Why, and what is missing.")
    low: float | None = Field(description="The least worsening that the reports leave possible.")
    high: float | None = Field(description="The most worsening that they leave possible.")
    at: datetime


class LookAnswer(_Answer):
    """What the gate said at a time, in points of the error rate."""

    at: datetime
    stage: str = Field(examples=["10%"])
    finding: str = Field(examples=["inconclusive"])
    low: float | None
    high: float | None


class RolloutAnswer(_Answer):
    """A rollout, how far it has come, and what became of the devices that it came to."""

    id: int = Field(validation_alias=AliasPath("rollout", "id"))
    model: str = Field(validation_alias=AliasPath("rollout", "model"))
    channel: str = Field(validation_alias=AliasPath("rollout", "channel"))
    from_version: int
    to_version: int
    state: Literal["proposed", "running", "paused", "aborted", "done"] = Field(
        validation_alias=AliasPath("rollout", "state")
    )
    reason: str = Field(
        validation_alias=AliasPath("rollout", "reason"),
        examples=["harm: worse by 1.30 points or more"],
        description="Why it is paused or aborted.",
    )
    stages: list[str] = Field(validation_alias=AliasPath("rollout", "stages"), examples=[["1%", "10%", "50%", "100%"]])
    stage: str | None = Field(examples=["10%"], description="The stage that it is in; null until it begins.")
    conditions: dict[str, Any] = Field(
        validation_alias=AliasPath("rollout", "terms"), description="What must hold before the next stage."
    )
    verdict: VerdictAnswer | None = Field(validation_alias=AliasPath("rollout", "verdict"))
    chosen: int = Field(
        validation_alias=AliasPath("rollout", "chosen"),
        description="The devices that the version had come to when the stage began.",
    )
    running: int = Field(description="The devices of the channel that run the version now.")
    tried: int = Field(description="The devices of the channel that said what became of it.")
    failures: list[FailuresAnswer]
    created_by: str = Field(validation_alias=AliasPath("rollout", "created_by"))
    approved_by: str | None = Field(validation_alias=AliasPath("rollout", "approved_by"))
    created: datetime = Field(validation_alias=AliasPath("rollout", "created_at"))
    started: datetime | None = Field(validation_alias=AliasPath("rollout", "started_at"))
    stage_began: datetime | None = Field(validation_alias=AliasPath("rollout", "stage_at"))
    ended: datetime | None = Field(validation_alias=AliasPath("rollout", "ended_at"))


class ChannelAnswer(_Answer):
    """A channel, and where it stands."""

    model: str = Field(validation_alias=AliasPath("channel", "model"))
    name: str = Field(validation_alias=AliasPath("channel", "name"))
    version: int | None = Field(validation_alias="number", description="Null before anything is published.")
    digest: str | None = Field(validation_alias=AliasPath("channel", "digest"))
    two_persons: bool = Field(validation_alias=AliasPath("channel", "two_persons"))
    devices: int = Field(description="How many follow it.")


class WayAnswer(_Answer):
    """What it would take to bring a channel's devices to a version."""

    devices: int = Field(description="Those that run another version, or none.")
    keep_it: int = Field(description="Of them, those that keep the version and need only go back to it.")
    bytes: int = Field(description="At most: a snapshot for each of the others.")


class ReachAnswer(_Answer):
    """How many devices a rollout would be for."""

    devices: int = Field(description="Those that it is for, in the end.")
    stage: int = Field(description="Of them, those that the stage comes to; of a share about so many.")


class TokenAnswer(_Answer):
    """A token without its secret."""

    id: int
    role: MadeFor
    name: str
    uses: int | None = Field(description="How many devices may enrol with it; null: any number.")
    used: int
    created: datetime = Field(validation_alias="created_at")
    expires: datetime | None = Field(validation_alias="expires_at")
    revoked: datetime | None = Field(validation_alias="revoked_at")


class TokenCreated(TokenAnswer):
    """A token with its secret, which is shown this once."""

    token: str = Field(default="", examples=["ds_viewer_…"])


class AuditAnswer(_Answer):
    """What somebody did."""

    id: int
    at: datetime
    actor: str = Field(examples=["anna"], description="The token's name; user@machine for commands at the server.")
    role: str = Field(examples=["publisher"], description="The token's role; host for commands at the server.")
    token_id: int | None
    act: str = Field(examples=["candidate.publish"])
    model: str | None
    details: dict[str, Any] = Field(examples=[{"candidate": 7, "version": 3, "force": False}])


class EventAnswer(_Answer):
    """What became of a rollout, and whether the webhook took it."""

    message_id: str = Field(description="The `webhook-id` that it has at every try.")
    type: str = Field(examples=["rollout.completed"])
    data: dict[str, Any]
    created: datetime = Field(validation_alias="created_at")
    tries: int
    error: str | None = Field(description="Why the last try failed.")
    delivered: datetime | None = Field(validation_alias="delivered_at")


class WebhookAnswer(_Answer):
    """Where events are sent, and how they do."""

    host: str | None = Field(examples=["hooks.example.org"], description="Null if the server has no webhook.")
    waiting: int = Field(description="Events that are tried again, or for the first time.")
    given_up: int = Field(description="Events that were not delivered in three days.")
    events: list[EventAnswer]


class DeliveredAnswer(_Answer):
    """That the webhook took an event."""

    host: str
    message_id: str
    status: int = Field(examples=[204])


class StrandedAnswer(_Answer):
    """Devices whose way to their version needs a diff that is to go."""

    channel: str
    version: int = Field(description="What they run.")
    devices: int
    bytes_now: int = Field(description="What they would fetch as it is.")
    bytes_then: int | None = Field(description="And without these diffs, a snapshot; null if nothing leads on.")


class RetireAnswer(_Answer):
    """The number of diffs that were dropped."""

    dropped: int


class HealthAnswer(_Answer):
    """That all is well."""

    status: Literal["ok"] = "ok"


class ObjectsAnswer(_Answer):
    """The numbers of objects that the server has found missing (of the latest versions') or damaged."""

    missing: int
    damaged: int


class TakingAnswer(_Answer):
    """Whether anyone takes trainings, beside this server or elsewhere."""

    workers: int = Field(examples=[1], description="How many workers are there; without any, trainings wait.")
    busy: int = Field(examples=[1], description="How many of them are at a training.")
    waiting: int = Field(examples=[0], description="How many trainings nobody is at.")


class WorkforceAnswer(HealthAnswer):
    """That requests are served, with or without workers."""

    trainings: TakingAnswer
    own_worker: str = Field(examples=["runs"], description="How the worker does that was started with this server.")


class ReadyAnswer(WorkforceAnswer):
    """The same, with what is known of the objects."""

    objects: ObjectsAnswer


class WorkerAnswer(_Answer):
    """A process that takes trainings."""

    name: str
    there: bool = Field(description="Seen within its lease; one that is not is gone, or cut off from the database.")
    training_id: int | None = Field(description="What it is at.")
    started: datetime = Field(validation_alias="started_at")
    last_seen: datetime = Field(description="By the database's clock.")


class OverviewAnswer(_Answer):
    """A model at a glance."""

    name: str
    channels: dict[str, int | None] = Field(examples=[{"stable": 3}])
    rollouts: list[RolloutAnswer] = Field(description="Those under way.")
    behind: int = Field(description="Devices that run another version than they shall.")
    stuck: int = Field(description="Devices silent in the middle of an update, or behind for more than a week.")
    failed: int = Field(description="Devices whose last update failed.")


class ExpiryAnswer(_Answer):
    """When a role's metadata expires."""

    role: str
    expires: datetime


class KeyAnswer(_Answer):
    """A public key that may sign for a role."""

    keyid: str = Field(examples=[DIGEST])
    type: str = Field(examples=["ed25519"])
    here: bool = Field(description="Whether the server holds its private half, or the way to it.")


class RoleAnswer(_Answer):
    """A role of the signed metadata: until when it is valid, and whose keys renew it."""

    role: str = Field(examples=["timestamp"])
    model: str | None = Field(description="The model that it belongs to.")
    version: int
    expires: datetime
    due: bool = Field(description="Whether it is time to sign it again.")
    threshold: int = Field(description="So many of the keys must sign.")
    keys: list[KeyAnswer]
    signs_here: bool = Field(description="Whether enough of the keys are here: the server signs by itself.")


class StatusAnswer(WorkforceAnswer):
    """Models at a glance, the metadata that expires first, workers seen within a day, and why trainings wait."""

    version: str = Field(examples=["0.1.0"], description="The server's release.")
    why_waiting: str | None = Field(description="Why the training that waits longest does; null if none waits.")
    known_workers: list[WorkerAnswer]
    models: list[OverviewAnswer] = Field(description="Those that are not archived, by name.")
    expiring: list[ExpiryAnswer] = Field(description="The metadata that expires first; the server renews what it can.")
