"""The tables: what the service remembers, one class each.

Payloads are rows; snapshots, graphs and parts of the probe set are objects elsewhere, named here by SHA-256
and length. The rules of who may write what are in `catalog`.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    String,
    TextClause,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, composite, mapped_column, relationship, validates

from diffclient.release.manifest import Blob
from diffclient.release.metric import LENGTH_LIMIT, Metric
from diffserver.storage.column_types import Base, Prose, digest_column, length_column, utc_now

FIELD = "field"
"""The stage of reports that are of no update, but of errors that were counted in the field."""

IN_SERVICE = text("left_at IS NULL")
IN_UPDATE = text("left_at IS NULL AND stage IS NOT NULL")
FAILED = text("left_at IS NULL AND outcome = 'failed'")
IN_FORCE = text("superseded_at IS NULL")
OF_UPDATES = text("stage <> 'field'")
UNDER_WAY = text("state in ('proposed', 'running', 'paused')")
UNDELIVERED = text("delivered_at IS NULL")
UNFINISHED = text("state in ('queued', 'running')")
"""Of trainings. A query names it as it stands here, or SQLite does not take the index."""

METADATA = Base.metadata


def _where(name: str, rows: TextClause, *columns: str) -> Index:
    """Return an index of some rows only."""
    return Index(name, *columns, sqlite_where=rows, postgresql_where=rows)


class Model(Base):
    """A named line of versions that follow on one another."""

    __tablename__ = "models"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    task: Mapped[str]
    least_next: Mapped[int] = mapped_column(default=0, server_default="0")
    """The least number of the next version: lower ones may be on devices, though no row tells of them."""
    returns: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    """The versions that devices may go back to, by digest, as signed last."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    archived_at: Mapped[datetime | None]


class Payload(Base):
    """The bytes of one published diff."""

    __tablename__ = "payloads"

    sha256: Mapped[str] = digest_column(primary_key=True)
    length: Mapped[int] = length_column()
    data: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)


class Version(Base):
    """An immutable state of all weights of a model, made from its parent."""

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("model", "number"), UniqueConstraint("model", "digest"))

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"))
    number: Mapped[int]
    parent: Mapped[int | None]
    """The parent's number; version 0 has none."""
    digest: Mapped[str] = digest_column()
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidates.id"), unique=True)
    candidate: Mapped["Candidate"] = relationship(lazy="joined", innerjoin=True)
    forced: Mapped[bool]
    published_by: Mapped[str]
    published_at: Mapped[datetime] = mapped_column(default=utc_now)
    metadata_bytes: Mapped[int | None]

    @property
    def errors(self) -> dict[str, Any]:
        """Errors, and how much was counted, by domain."""
        return {domain: pair["candidate"] for domain, pair in self.candidate.evaluation.items()}


class Step(Base):
    """One way to a version: a diff from another version or, from nothing, its snapshot."""

    __tablename__ = "steps"
    __table_args__ = (
        ForeignKeyConstraint(["model", "from_digest"], ["versions.model", "versions.digest"]),
        ForeignKeyConstraint(["model", "to_digest"], ["versions.model", "versions.digest"]),
        Index(None, "model", "to_digest"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(String(64))
    from_digest: Mapped[str | None] = digest_column()
    to_digest: Mapped[str] = digest_column()
    length: Mapped[int] = length_column()
    manifest: Mapped[dict[str, Any]]


class Channel(Base):
    """A mutable pointer to a version of a model, or to none yet."""

    __tablename__ = "channels"
    __table_args__ = (ForeignKeyConstraint(["model", "digest"], ["versions.model", "versions.digest"]),)

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    digest: Mapped[str | None] = digest_column()
    two_persons: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether what one operator asks for waits for another one's approval."""
    moved_at: Mapped[datetime | None]
    """When it was put where it stands."""

    @validates("digest")
    def _moved(self, _name: str, digest: str | None) -> str | None:
        self.moved_at = utc_now()
        return digest


class Rollout(Base):
    """A version's way through a channel, stage by stage; `terms` are its conditions, `verdict` is the gate's last.

    What they mean is said in `rollouts.plan`: of the devices that it is for, one has the version if its place is below
    `reach`, or if it has an attribute that one of the stages names which were reached.
    """

    __tablename__ = "rollouts"
    __table_args__ = (
        ForeignKeyConstraint(["model", "channel"], ["channels.model", "channels.name"]),
        ForeignKeyConstraint(["model", "from_digest"], ["versions.model", "versions.digest"]),
        ForeignKeyConstraint(["model", "to_digest"], ["versions.model", "versions.digest"]),
        CheckConstraint("state in ('proposed', 'running', 'paused', 'aborted', 'done')", name="state"),
        Index(None, "model", "channel", unique=True, sqlite_where=UNDER_WAY, postgresql_where=UNDER_WAY),
        Index(None, "state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(String(64))
    channel: Mapped[str] = mapped_column(String(64))
    from_digest: Mapped[str] = digest_column()
    to_digest: Mapped[str] = digest_column()
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Prose, default="")
    stages: Mapped[list[str]]
    stage: Mapped[int] = mapped_column(default=0)
    reach: Mapped[int] = mapped_column(BigInteger, default=0)
    chosen: Mapped[int] = mapped_column(default=0)
    """The number of devices that the version had come to when the stage began."""
    terms: Mapped[dict[str, Any]]
    verdict: Mapped[dict[str, Any] | None]
    created_by: Mapped[str]
    approved_by: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    stage_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class Look(Base):
    """What the gate said of a rollout at a time, kept where it differs from what it said before."""

    __tablename__ = "looks"
    __table_args__ = (Index(None, "rollout_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollouts.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(default=utc_now)
    stage: Mapped[int]
    finding: Mapped[str] = mapped_column(String(32))
    low: Mapped[float | None]
    high: Mapped[float | None]


class Event(Base):
    """What became of a rollout, to be told to a webhook; `message_id` stays the same however often it is sent."""

    __tablename__ = "events"
    __table_args__ = (
        _where("ix_events_undelivered", UNDELIVERED, "id"),
        Index(None, "created_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[str] = mapped_column(String(64), unique=True)
    type: Mapped[str] = mapped_column(String(64))
    rollout_id: Mapped[int | None]
    """Of no rollout, if it is a test. No foreign key: a model may be deleted before all is told."""
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    tries: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime] = mapped_column(default=utc_now)
    error: Mapped[str | None] = mapped_column(Prose)
    """Why it was not delivered when it was tried last."""
    delivered_at: Mapped[datetime | None]


class Training(Base):
    """A job: what to train, who is at it until when, and what became of it."""

    __tablename__ = "trainings"
    __table_args__ = (
        CheckConstraint("state in ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"),
        Index(None, "model", "id"),
        _where("ix_trainings_in_turn", UNFINISHED, "turn", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"))
    spec: Mapped[dict[str, Any]]
    turn: Mapped[int] = mapped_column(default=0, server_default="0")
    """Lower ones come first: the priority, negated, so that an index has turn and age in one direction."""
    state: Mapped[str] = mapped_column(String(16), default="queued")
    progress: Mapped[float] = mapped_column(default=0.0)
    message: Mapped[str] = mapped_column(Prose, default="")
    error: Mapped[str | None] = mapped_column(Prose)
    worker: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0)
    """The workers that were at it since it came further."""
    lease_seconds: Mapped[float] = mapped_column(default=0.0)
    lease_until: Mapped[datetime | None]
    candidate_id: Mapped[int | None] = mapped_column(ForeignKey("candidates.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    @property
    def priority(self) -> int:
        """How urgent it is: trainings of a higher one come first."""
        return -self.turn


class SavedState(Base):
    """The last state of a training, or of one of its parts, to go on from; `object` holds it."""

    __tablename__ = "saved_states"

    training_id: Mapped[int] = mapped_column(ForeignKey("trainings.id", ondelete="CASCADE"), primary_key=True)
    part: Mapped[str] = mapped_column(String(64), primary_key=True)
    step: Mapped[int]
    object: Mapped[Blob] = composite(digest_column(name="object_sha256"), length_column(name="object_length"))
    worker: Mapped[str]
    saved_at: Mapped[datetime]


class TrainingLine(Base):
    """A line of a training's log, by its number in there."""

    __tablename__ = "training_lines"

    training_id: Mapped[int] = mapped_column(ForeignKey("trainings.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    level: Mapped[str] = mapped_column(String(16))
    worker: Mapped[str]
    text: Mapped[str] = mapped_column(Prose)


class Loss(Base):
    """The loss of a training at a step; `part` is one of the trainings that its request takes, or empty."""

    __tablename__ = "losses"

    training_id: Mapped[int] = mapped_column(ForeignKey("trainings.id", ondelete="CASCADE"), primary_key=True)
    part: Mapped[str] = mapped_column(String(64), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    loss: Mapped[float]


class Worker(Base):
    """A process that takes trainings: there until `until`, unless it is seen again before."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    started_at: Mapped[datetime]
    last_seen: Mapped[datetime]
    until: Mapped[datetime]


class Candidate(Base):
    """A trained, self-applied, evaluated diff (or base); `payload` moves to its own row when published."""

    __tablename__ = "candidates"
    __table_args__ = (
        CheckConstraint("state in ('open', 'published')", name="state"),
        CheckConstraint("kind in ('base', 'update')", name="kind"),
        Index(None, "model", "number", "method"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"))
    kind: Mapped[str] = mapped_column(String(16))
    method: Mapped[str] = mapped_column(String(32))
    number: Mapped[int]
    parent_digest: Mapped[str | None] = digest_column()
    digest: Mapped[str] = digest_column()
    state: Mapped[str] = mapped_column(String(16), default="open")
    payload_sha256: Mapped[str | None] = digest_column()
    payload_length: Mapped[int | None] = length_column()
    payload_data: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    snapshot: Mapped[Blob] = composite(digest_column(name="snapshot_sha256"), length_column(name="snapshot_length"))
    graph: Mapped[Blob] = composite(digest_column(name="graph_sha256"), length_column(name="graph_length"))
    changed_weights: Mapped[int] = mapped_column(BigInteger)
    budget: Mapped[float]
    payload_share: Mapped[float]
    seconds_train: Mapped[float]
    metric: Mapped[Metric] = composite(
        mapped_column("metric_name", String(LENGTH_LIMIT), server_default="error rate"),
        mapped_column("metric_counts", String(LENGTH_LIMIT), server_default="examples"),
    )
    evaluation: Mapped[dict[str, Any]]
    refusals: Mapped[list[str]]
    manifest: Mapped[dict[str, Any]]
    domains: Mapped[list[str]]
    notes: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    tried: Mapped[list[dict[str, Any]]] = mapped_column(default=list, server_default="[]")
    data: Mapped[str]
    data_sha256: Mapped[str | None] = digest_column()
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    @property
    def payload(self) -> Blob | None:
        """The payload's name and length; a base and a fully retrained model have none."""
        if self.payload_sha256 is None or self.payload_length is None:
            return None
        return Blob(self.payload_sha256, self.payload_length)


class Shortcut(Base):
    """A merged diff to a candidate's version from one before its parent; a payload and a step once published."""

    __tablename__ = "shortcuts"
    __table_args__ = (UniqueConstraint("candidate_id", "from_version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidates.id"))
    from_digest: Mapped[str] = digest_column()
    from_version: Mapped[int]
    payload: Mapped[Blob] = composite(digest_column(name="payload_sha256"), length_column(name="payload_length"))
    data: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)


class Device(Base):
    """A device that enrolled, and what it said last about itself."""

    __tablename__ = "devices"
    __table_args__ = (
        ForeignKeyConstraint(["model", "channel"], ["channels.model", "channels.name"]),
        Index(None, "model", "id"),
        Index(None, "model", "name", postgresql_ops={"name": "text_pattern_ops"}),
        # None holds what most polls change, which would cost an entry in every index (PostgreSQL). The column that
        # is always null lets SQLite count without looking at rows.
        _where("ix_devices_here", IN_SERVICE, "model", "channel", "digest", "left_at"),
        _where("ix_devices_updating", IN_UPDATE, "model", "channel"),
        _where("ix_devices_failed", FAILED, "model", "channel"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"))
    name: Mapped[str]
    channel: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str | None] = digest_column()
    previous: Mapped[str | None] = digest_column()
    stage: Mapped[str | None] = mapped_column(String(32))
    outcome: Mapped[str | None] = mapped_column(String(16))
    """The stage of its last report of an update."""
    client: Mapped[str] = mapped_column(default="")
    enrolled_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_seen: Mapped[datetime | None]
    left_at: Mapped[datetime | None]
    boot: Mapped[str | None] = mapped_column(String(64))
    former_boot: Mapped[str | None] = mapped_column(String(64))
    cloned_at: Mapped[datetime | None]
    """When two machines were last seen to use this identity."""
    attributes: Mapped[list["Attribute"]] = relationship(cascade="all, delete-orphan")


class Tally(Base):
    """How many devices in service ran a version at a time; number -1 is of devices that run none, or an unknown one."""

    __tablename__ = "tallies"

    model: Mapped[str] = mapped_column(ForeignKey("models.name", ondelete="CASCADE"), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    devices: Mapped[int]


class Attribute(Base):
    """What operators say of a device, by name: its group, its region, its processor."""

    __tablename__ = "device_attributes"
    __table_args__ = (Index(None, "name", "value"),)

    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(100))


class Report(Base):
    """A device's report of one update, or of errors counted in the field.

    `report_id` is the device's own, null from an earlier client.
    """

    __tablename__ = "reports"
    __table_args__ = (
        CheckConstraint("stage in ('installed', 'failed', 'postponed', 'rolled_back', 'field')", name="stage"),
        CheckConstraint("cause in ('network', 'server', 'device', 'version')", name="cause"),
        Index(None, "device_id", "id"),
        _where("ix_reports_of_updates", OF_UPDATES, "device_id", "id"),
        Index(None, "device_id", "report_id", unique=True),
        Index(None, "to_digest", "id"),
        Index(None, "stage", "created_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"))
    device: Mapped[Device] = relationship(lazy="joined")
    stage: Mapped[str] = mapped_column(String(16))
    from_digest: Mapped[str | None] = digest_column()
    to_digest: Mapped[str | None] = digest_column()
    failed_stage: Mapped[str | None]
    reason: Mapped[str | None]
    cause: Mapped[str | None] = mapped_column(String(16))
    measure: Mapped[str | None] = mapped_column(String(64))
    """What was counted in the field, if not the model's metric."""
    errors: Mapped[int | None]
    total: Mapped[int | None]
    error_rate_ppm: Mapped[int | None]
    drift_ppm: Mapped[int | None]
    downloaded_bytes: Mapped[int] = length_column()
    seconds_apply: Mapped[float | None]
    seconds_total: Mapped[float | None]
    full_deliveries: Mapped[int | None]
    report_id: Mapped[str | None] = mapped_column(String(32))
    device_time: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Token(Base):
    """A token by its SHA-256; the secret itself is kept nowhere.

    It is valid before `expires_at` and, to enrol with, `uses` times; null sets no limit.
    """

    __tablename__ = "tokens"
    __table_args__ = (
        CheckConstraint("role in ('admin', 'publisher', 'viewer', 'enroll', 'device')", name="role"),
        Index(None, "device_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    name: Mapped[str]
    sha256: Mapped[str] = digest_column(unique=True)
    device_id: Mapped[str | None] = mapped_column(ForeignKey("devices.id"))
    device: Mapped[Device | None] = relationship(lazy="joined")
    uses: Mapped[int | None]
    used: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class SignIn(Base):
    """That an operator is signed in at the console, by the SHA-256 of what the browser's cookie holds."""

    __tablename__ = "sign_ins"
    __table_args__ = (Index(None, "ends_at"), Index(None, "token_id"))

    sha256: Mapped[str] = digest_column(primary_key=True)
    token_id: Mapped[int] = mapped_column(ForeignKey("tokens.id", ondelete="CASCADE"))
    token: Mapped[Token] = relationship(lazy="joined")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    ends_at: Mapped[datetime]


class RoleMetadata(Base):
    """One version of a role's signed metadata, as devices fetch it; in force until another supersedes it."""

    __tablename__ = "trust_metadata"
    __table_args__ = (Index(None, "role", unique=True, sqlite_where=IN_FORCE, postgresql_where=IN_FORCE),)

    role: Mapped[str] = mapped_column(String(100), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column(LargeBinary)
    expires: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    superseded_at: Mapped[datetime | None]


class Lease(Base):
    """A task that only one process at a time may do, its holder, and until when."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str]
    until: Mapped[datetime]


class Audit(Base):
    """What somebody did, when, by which token; `actor` is the token's name, or the machine's where there was none."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "model", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utc_now)
    actor: Mapped[str]
    role: Mapped[str] = mapped_column(String(16))
    token_id: Mapped[int | None]
    act: Mapped[str] = mapped_column(String(64))
    model: Mapped[str | None] = mapped_column(String(64))
    details: Mapped[dict[str, Any]]


class Change(Base):
    """News of what processes remember: something of a topic changed, by its key; without one, all of it may have."""

    __tablename__ = "changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(String(16))
    key: Mapped[str | None] = mapped_column(String(64))
