"""Requests: the bodies that callers send, checked field by field; unknown fields are refused."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from diffclient.network.messages import STEP_LIMIT
from diffserver.api.fields import DIGEST, INT32, Bytes, Count, Digest, Folder, Line, Name, Prose, Seconds
from diffserver.catalog.training_request import BUDGET, BUDGET_WITHIN_DRIFT, Kind, MethodName, TrainingSpec


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class EnrollRequest(_Request):
    """A device that wants to follow a model's channel."""

    model: Name = Field(examples=["speech"])
    name: Line = Field(examples=["kitchen"], description="For people; need not be unique.")
    channel: Name = "stable"


class PollRequest(_Request):
    """What a device holds."""

    digest: Digest | None = Field(examples=[DIGEST], description="Null if it holds nothing yet.")
    client: Line = Field(default="unknown", examples=["diffclient/0.1.0"])
    full_fallback: bool = Field(default=True, description="Whether a snapshot may be among the steps.")
    without: tuple[Line, ...] = Field(
        default=(),
        max_length=STEP_LIMIT,
        examples=[["speech/v0/3.from.2"]],
        description="Names of steps that failed on the device; the answer leaves them out.",
    )


class ReportRequest(_Request):
    """What became of an update."""

    stage: Literal["installed", "failed", "rolled_back"]
    from_digest: Digest | None = None
    to_digest: Digest | None = None
    failed_stage: Line | None = Field(default=None, examples=["download"])
    reason: Prose | None = None
    errors: Count | None = Field(default=None, description="Word errors on the probe set, as measured.")
    words: Count | None = None
    wer_ppm: Count | None = None
    drift_ppm: Annotated[int, Field(ge=-INT32, le=INT32)] | None = None
    downloaded_bytes: Bytes = 0
    seconds_apply: Seconds | None = None
    seconds_total: Seconds | None = None


class TrainingRequest(_Request):
    """What to train; with a checkpoint, what to make of it."""

    kind: Kind
    model: Name = Field(examples=["speech"])
    task: Name = "asr"
    data: Annotated[Prose, StringConstraints(pattern=r"^/")] = Field(
        examples=["/data/speech"], description="A folder on the worker's machine, with a folder for each domain."
    )
    domain: Folder | None = Field(default=None, examples=["athletes"], description="The folder in it to train on.")
    method: MethodName = Field(default="sparse", description="auto: both kinds of diff, of which the better is kept.")
    budget: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of the fp32 snapshot's bytes; 0.02, or 0.05 with max_drift, if null.",
    )
    seed: int = Field(default=0, ge=0, le=2**53)
    epochs: int | None = Field(default=None, ge=1, le=10_000)
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$")
    max_regression: float | None = Field(default=5.0, ge=0, le=100, description="Points absolute; null: no bound.")
    max_drift: float | None = Field(
        default=None,
        gt=0,
        le=100,
        examples=[1.0],
        description="Points of mean WER over the fully retrained model's; the smallest payload within it is sought.",
    )
    checkpoint: Digest | None = Field(
        default=None, description="SHA-256 of a checkpoint that was uploaded; then nothing is trained."
    )
    off_grid: tuple[Line, ...] = Field(
        default=(),
        max_length=1000,
        examples=[["encoder.*.running_mean"]],
        description="Of a base that a checkpoint becomes: fp32 tensors, by patterns, that stay off the grid.",
    )

    def spec(self) -> TrainingSpec:
        """What is asked for, with the budget that goes without saying."""
        usual = BUDGET if self.max_drift is None else BUDGET_WITHIN_DRIFT
        return TrainingSpec(**self.model_dump() | {"budget": self.budget or usual})


class SignatureFields(_Request):
    """A signature by one key."""

    keyid: Digest
    sig: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{2,2000}$")]


Role = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._+-]{0,99}$")]


class ProofRequest(_Request):
    """Signatures that answer a challenge."""

    expires: datetime = Field(description="As in the challenge.")
    versions: dict[Role, Count] = Field(description="As in the challenge: which metadata was signed.")
    signatures: dict[Role, list[SignatureFields]]


class ChangeRequest(_Request):
    """A change to what the model's roles say; signed by the caller if the server does not hold the key."""

    proof: ProofRequest | None = None


class PublishRequest(ChangeRequest):
    """Whether to publish in spite of refusals; that is recorded."""

    force: bool = False


class DowngradeRequest(ChangeRequest):
    """Which version devices go back to."""

    version: Count


class RetireRequest(ChangeRequest):
    """Which diffs go."""

    before: Count = Field(description="Diffs to versions before this one.")
