"""The first tables: models, candidates, versions and steps; trainings; devices, reports and tokens.

Revision 0001, after none.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_models"),
    )
    op.create_table(
        "payloads",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_payloads"),
    )
    op.create_table(
        "candidates",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("method", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("parent_digest", sa.String(length=64), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("payload_sha256", sa.String(length=64), nullable=True),
        sa.Column("payload_length", sa.BigInteger(), nullable=True),
        sa.Column("payload_data", sa.LargeBinary(), nullable=True),
        sa.Column("snapshot_sha256", sa.String(length=64), nullable=False),
        sa.Column("snapshot_length", sa.BigInteger(), nullable=False),
        sa.Column("graph_sha256", sa.String(length=64), nullable=False),
        sa.Column("graph_length", sa.BigInteger(), nullable=False),
        sa.Column("changed_weights", sa.BigInteger(), nullable=False),
        sa.Column("budget", sa.Double(), nullable=False),
        sa.Column("payload_share", sa.Double(), nullable=False),
        sa.Column("seconds_train", sa.Double(), nullable=False),
        sa.Column("evaluation", sa.JSON(), nullable=False),
        sa.Column("refusals", sa.JSON(), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("domains", sa.JSON(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind in ('base', 'update')", name=op.f("ck_candidates_kind")),
        sa.CheckConstraint("state in ('open', 'published')", name=op.f("ck_candidates_state")),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="fk_candidates_model_models"),
        sa.PrimaryKeyConstraint("id", name="pk_candidates"),
    )
    op.create_index("ix_candidates_model_number_method", "candidates", ["model", "number", "method"])

    op.create_table(
        "trainings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_seconds", sa.Double(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("candidate_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('queued', 'running', 'done', 'failed', 'cancelled')", name=op.f("ck_trainings_state")
        ),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name="fk_trainings_candidate_id_candidates"),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="fk_trainings_model_models"),
        sa.PrimaryKeyConstraint("id", name="pk_trainings"),
    )
    op.create_index("ix_trainings_model_id", "trainings", ["model", "id"])
    op.create_index("ix_trainings_state_id", "trainings", ["state", "id"])

    op.create_table(
        "versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("candidate_id", sa.Integer(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("published_by", sa.Text(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name="fk_versions_candidate_id_candidates"),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="fk_versions_model_models"),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.UniqueConstraint("candidate_id", name="uq_versions_candidate_id"),
        sa.UniqueConstraint("model", "digest", name="uq_versions_model_digest"),
        sa.UniqueConstraint("model", "number", name="uq_versions_model_number"),
    )
    op.create_table(
        "channels",
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["model", "digest"],
            ["versions.model", "versions.digest"],
            name="fk_channels_model_digest_versions",
        ),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="fk_channels_model_models"),
        sa.PrimaryKeyConstraint("model", "name", name="pk_channels"),
    )
    op.create_table(
        "steps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("from_digest", sa.String(length=64), nullable=True),
        sa.Column("to_digest", sa.String(length=64), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "from_digest"],
            ["versions.model", "versions.digest"],
            name="fk_steps_model_from_digest_versions",
        ),
        sa.ForeignKeyConstraint(
            ["model", "to_digest"],
            ["versions.model", "versions.digest"],
            name="fk_steps_model_to_digest_versions",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_steps"),
    )
    op.create_index("ix_steps_model_to_digest", "steps", ["model", "to_digest"])

    op.create_table(
        "devices",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("channel", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("enrolled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["model", "channel"],
            ["channels.model", "channels.name"],
            name="fk_devices_model_channel_channels",
        ),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="fk_devices_model_models"),
        sa.PrimaryKeyConstraint("id", name="pk_devices"),
    )
    op.create_index("ix_devices_model_id", "devices", ["model", "id"])

    op.create_table(
        "reports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("from_digest", sa.String(length=64), nullable=True),
        sa.Column("to_digest", sa.String(length=64), nullable=True),
        sa.Column("failed_stage", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("errors", sa.Integer(), nullable=True),
        sa.Column("words", sa.Integer(), nullable=True),
        sa.Column("wer_ppm", sa.Integer(), nullable=True),
        sa.Column("drift_ppm", sa.Integer(), nullable=True),
        sa.Column("downloaded_bytes", sa.BigInteger(), nullable=False),
        sa.Column("seconds_apply", sa.Double(), nullable=True),
        sa.Column("seconds_total", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("stage in ('installed', 'failed', 'rolled_back')", name=op.f("ck_reports_stage")),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name="fk_reports_device_id_devices"),
        sa.PrimaryKeyConstraint("id", name="pk_reports"),
    )
    op.create_index("ix_reports_device_id_id", "reports", ["device_id", "id"])

    op.create_table(
        "tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role in ('operator', 'enroll', 'device')", name=op.f("ck_tokens_role")),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name="fk_tokens_device_id_devices"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("sha256", name="uq_tokens_sha256"),
    )


def downgrade() -> None:
    op.drop_table("tokens")
    op.drop_table("reports")
    op.drop_table("devices")
    op.drop_table("steps")
    op.drop_table("channels")
    op.drop_table("versions")
    op.drop_table("trainings")
    op.drop_table("candidates")
    op.drop_table("payloads")
    op.drop_table("models")
