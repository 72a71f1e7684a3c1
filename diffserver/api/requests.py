"""Requests: the bodies that callers send, checked field by field; other types are refused.

Unknown fields are refused as well, but for those of devices: a newer client may say more than this server knows.
"""

from dataclasses import fields
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from diffclient.measure.error_count import Errors
from diffclient.network.holding import Holding
from diffclient.network.messages import STEP_LIMIT
from diffclient.network.report import Report
from diffserver.api.derive import with_fields_of
from diffserver.api.fields import (
    INT32,
    AttributeName,
    AttributeValue,
    Count,
    Digest,
    Exact,
    Folder,
    GivenName,
    Line,
    Moment,
    Name,
    ParameterName,
    Secret,
    StageText,
)
from diffserver.catalog.devices import MOST_ATTRIBUTES
from diffserver.catalog.names import ALPHABET
from diffserver.catalog.tokens import MadeFor
from diffserver.catalog.training_request import BUDGET, BUDGET_WITHIN_DRIFT, Kind, TrainingSpec, methods_to_ask_for
from diffserver.choices import hardware, rollouts
from diffserver.choices.channels import STABLE
from diffserver.choices.delivery import DELIVERY
from diffserver.choices.methods import AUTO, DEFAULT, Use, method_names
from diffserver.rollouts.plan import Conditions
from diffserver.trust.releases import Way

HELD = tuple(field.name for field in fields(Holding))


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class _DeviceRequest(_Request):
    model_config = ConfigDict(extra="ignore")


class EnrollRequest(_DeviceRequest):
    """A device that wants to follow a model's channel."""

    model: Name = Field(examples=["speech"])
    name: GivenName = Field(examples=["kitchen"], description=f"For people; need not be unique. Of {ALPHABET}.")
    channel: Name = "stable"
    attributes: dict[AttributeName, AttributeValue] = Field(
        default={}, max_length=MOST_ATTRIBUTES, examples=[{"region": "eu"}], description="What it is, for operators."
    )
    replaces: Secret | None = Field(
        default=None,
        description="The token of the device that this was before, which is taken out of service. Ignored if it is no "
        "device's.",
    )


@with_fields_of(Holding)
class StateRequest(_DeviceRequest):
    """The versions that a device holds, and how far it is with an update."""

    client: Line = Field(default="unknown", examples=["diffclient/0.1.0"])
    boot: Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{1,64}$")] | None = Field(
        default=None,
        examples=["0b9de9a8-25c1-4c8a-9d0b-6b3d1c5c7f7a"],
        description="Of the machine, another one after each start: by it clones are told.",
    )

    def holding(self) -> Holding:
        """Return what the device holds."""
        return Holding(**{name: getattr(self, name) for name in HELD})


class PollRequest(StateRequest):
    """A poll of a device, with the versions that it holds."""

    full_fallback: bool = Field(default=True, description="Whether a snapshot may be among the steps.")
    without: list[Line] = Field(
        default=[],
        max_length=STEP_LIMIT,
        examples=[["speech/v0/3.from.2"]],
        description="Names of steps that failed on the device; the answer leaves them out.",
    )


@with_fields_of(Report)
class ReportRequest(_DeviceRequest):
    """A device's report of an update, or of errors that were counted in the field."""


class ErrorsFields(_Request):
    """Errors, and of how many."""

    errors: Count
    total: Count

    def value(self) -> Errors:
        """Return them as errors are counted."""
        return Errors(self.errors, self.total)


class TrainingRequest(_Request):
    """A request for a training; with a checkpoint, for a version made of it."""

    kind: Kind
    model: Name = Field(examples=["speech"])
    channel: Name = Field(default=STABLE, description="An update starts from what it stands at.")
    task: Name = Field(default="asr", description=f"{DELIVERY}: none; the checkpoint is delivered alone.")
    data: Folder | None = Field(
        default=None,
        examples=["/data/speech"],
        description="A folder on the worker's machine, with a folder for each domain; null for the task of delivery.",
    )
    domain: GivenName | None = Field(
        default=None, examples=["athletes"], description=f"The folder in it to train on. Of {ALPHABET}."
    )
    method: Name = Field(
        default=DEFAULT,
        description=f"{AUTO}: {' and '.join(method_names(Use.AUTO))}, of which the better is kept.",
        json_schema_extra={"enum": list(methods_to_ask_for())},
    )
    budget: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of the fp32 snapshot's bytes; 0.02, or 0.05 with max_drift, if null.",
    )
    seed: int = Field(default=0, ge=0, le=2**53)
    epochs: int | None = Field(default=None, ge=1, le=10_000)
    device: str = Field(default="auto", pattern=hardware.PATTERN, examples=["cuda:1"])
    max_regression: float | None = Field(default=5.0, ge=0, le=100, description="Points absolute; null: no bound.")
    max_drift: float | None = Field(
        default=None,
        gt=0,
        le=100,
        examples=[1.0],
        description="Points of mean error rate over full retraining's, or over the checkpoint's; the smallest payload "
        "within it is sought.",
    )
    checkpoint: Digest | None = Field(
        default=None, description="SHA-256 of a checkpoint that was uploaded; then nothing is trained."
    )
    off_grid: list[Exact] = Field(
        default=[],
        max_length=1000,
        examples=[["encoder.*.running_mean"]],
        description="Of a base that a checkpoint becomes: fp32 tensors, by patterns, that stay off the grid.",
    )

    measured: dict[GivenName, ErrorsFields] = Field(
        default={},
        max_length=1000,
        examples=[{"base": {"errors": 3, "total": 400}}],
        description="Of a diff that was trained elsewhere: the errors that its maker counted, by test set.",
    )
    graph: Digest | None = Field(
        default=None, description="Of a base without a task: SHA-256 of its graph, uploaded as checkpoints are."
    )

    parameters: dict[ParameterName, Exact | int | float] = Field(
        default={},
        max_length=40,
        examples=[{"learning_rate": 0.002, "steps": 2000}],
        description="Of the method's recipe or schedule, in place of the task's; the worker knows which there are.",
    )

    priority: int = Field(
        default=0, ge=-1000, le=1000, description="Trainings of a higher one come first, of the same one the oldest."
    )

    def made_of(self) -> dict[str, str]:
        """Return what the version is made of, for the audit log."""
        return self.model_dump(
            include={"kind", "data", "domain", "method", "checkpoint", "priority"}, exclude_none=True
        )

    def spec(self) -> TrainingSpec:
        """Return the request for the queue, with the default budget where none is given."""
        usual = BUDGET if self.max_drift is None else BUDGET_WITHIN_DRIFT
        changed = {
            "budget": self.budget or usual,
            "off_grid": tuple(self.off_grid),
            "data": self.data or "",
            "measured": {name: errors.value() for name, errors in self.measured.items()},
            "parameters": {name: str(value) for name, value in self.parameters.items()},
        }
        return TrainingSpec(**self.model_dump(exclude={"priority"}) | changed)


class SignatureFields(_Request):
    """A signature by one key."""

    keyid: Digest
    sig: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{2,2000}$")]


Role = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._+-]{0,99}$")]


class ProofRequest(_Request):
    """Signatures that answer a challenge."""

    expires: Moment = Field(description="As in the challenge.")
    versions: dict[Role, Count] = Field(description="As in the challenge: which metadata was signed.")
    signatures: dict[Role, list[SignatureFields]]
    returns: list[Count] = Field(
        default=[], max_length=1000, description="As in the challenge: the versions that devices may go back to."
    )


class ChangeRequest(_Request):
    """A change to what the model's roles say; signed by the caller if the server does not hold the key."""

    proof: ProofRequest | None = None


class ConditionsRequest(_Request):
    """Whom a rollout is for, and what must hold before it goes on to its next stage."""

    only: list[StageText] = Field(
        default=[],
        max_length=MOST_ATTRIBUTES,
        examples=[["region=eu"]],
        description="For devices with one of the values of each attribute only; the channel moves when it is approved "
        "after its last stage. None for all devices.",
    )
    evidence: rollouts.Evidence = Field(
        default=rollouts.EVIDENCE,
        description="What the gate looks at: failures and errors that devices count in the field; failures; nothing.",
    )
    wait_seconds: int = Field(
        default=rollouts.WAIT_SECONDS, ge=0, le=365 * 86400, description="The least time that a stage lasts."
    )
    window: str | None = Field(
        default=None, examples=["22:00-05:00"], description="Hours, in UTC, in which devices are given the version."
    )
    by: AttributeName | None = Field(default=None, examples=["cpu"], description="Harm is looked for by its values.")
    measure: GivenName | None = Field(default=None, description="What devices count, if not the model's metric.")
    margin: float = Field(default=rollouts.MARGIN, gt=0, le=100, description="The worsening that is borne, in points.")
    least: int = Field(
        default=rollouts.LEAST, ge=2, le=INT32, description="Devices that must have reported, each side."
    )
    most_failures: float = Field(default=rollouts.MOST_FAILURES, gt=0, lt=0.5, description="The share that is borne.")

    def value(self) -> Conditions:
        """Return them as a rollout keeps them."""
        return Conditions(**self.model_dump() | {"only": tuple(self.only)})


class WayFields(_Request):
    """How a version reaches a channel."""

    channel: Name = STABLE
    stages: list[StageText] = Field(
        default=[],
        max_length=100,
        examples=[list(rollouts.STAGES)],
        description="Shares, counts, or attributes of devices, the last 100%; none for all devices at once.",
    )
    conditions: ConditionsRequest = ConditionsRequest()

    def way(self) -> Way:
        """Return it as releases take it."""
        return Way(self.channel, tuple(self.stages), self.conditions.value())


class PublishRequest(ChangeRequest, WayFields):
    """Whether to publish in spite of refusals, which is recorded, and how the version reaches devices."""

    force: bool = False


class ChannelRequest(ChangeRequest):
    """Which version the channel moves to."""

    version: Count
    channel: Name = STABLE


class RolloutRequest(ChangeRequest, WayFields):
    """Which published version a channel is led to, and how."""

    version: Count
    stages: list[StageText] = Field(
        default=list(rollouts.STAGES), min_length=1, max_length=100, description="As when a version is published."
    )


class ReasonRequest(_Request):
    """Why, for the record."""

    reason: Line = "by hand"


class RetireRequest(ChangeRequest):
    """Which diffs go."""

    before: Count = Field(description="Diffs to versions before this one.")


class DeviceChangeRequest(_Request):
    """What changes of a device; the rest stays."""

    name: GivenName | None = Field(default=None, description=f"Of {ALPHABET}.")
    channel: Name | None = Field(default=None, examples=["beta"])
    attributes: dict[AttributeName, AttributeValue | None] = Field(
        default={},
        max_length=MOST_ATTRIBUTES,
        examples=[{"group": "office", "region": None}],
        description="Those that change; one of null is removed.",
    )


class NewChannelRequest(_Request):
    """A channel that is to be made."""

    name: Name = Field(examples=["beta"])
    version: Count | None = Field(default=None, description="Where it stands; null: where `stable` does.")
    two_persons: bool = False


class ChannelChangeRequest(_Request):
    """How a channel may be moved."""

    two_persons: bool = Field(description="Whether a rollout waits for another operator's approval.")


class ModelChangeRequest(_Request):
    """Whether a model is archived."""

    archived: bool


class TokenRequest(_Request):
    """A token that is to be made for an operator, or for devices to enrol with."""

    role: MadeFor
    name: GivenName = Field(examples=["line 2"], description=f"Whose it is, or what for. Of {ALPHABET}.")
    expires: Moment | None = Field(default=None, description="Null: in 30 days if it is to enrol with, else never.")
    uses: Annotated[int, Field(ge=1, le=INT32)] | None = Field(
        default=None, description="How many devices may enrol with it; null: any number."
    )
