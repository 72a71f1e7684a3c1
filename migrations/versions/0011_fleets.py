"""Fleets: rollouts, attributes of devices, operators' roles, an audit log, errors counted in the field.

Revision 0011, after 0010. An operator's token becomes an admin's, and back; of what is new, nothing stays on the way
back: publishers and viewers lose their tokens, and what was counted in the field is dropped.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | None = None
depends_on: str | None = None

STAGES = "'installed', 'failed', 'postponed', 'rolled_back'"
OF_UPDATES = sa.text("stage <> 'field'")
UNDER_WAY = sa.text("state in ('proposed', 'running', 'paused')")
MOMENT = sa.DateTime(timezone=True)

reports = sa.table("reports", sa.column("stage"))
tokens = sa.table("tokens", sa.column("role"))


def upgrade() -> None:
    op.add_column("models", sa.Column("least_next", sa.Integer(), server_default="0", nullable=False))
    op.add_column("models", sa.Column("returns", sa.JSON(), server_default="[]", nullable=False))
    op.add_column("models", sa.Column("archived_at", MOMENT, nullable=True))
    op.add_column("channels", sa.Column("two_persons", sa.Boolean(), server_default=sa.false(), nullable=False))
    for name in ("left_at", "cloned_at"):
        op.add_column("devices", sa.Column(name, MOMENT, nullable=True))
    for name in ("boot", "former_boot"):
        op.add_column("devices", sa.Column(name, sa.String(length=64), nullable=True))
    with op.batch_alter_table("reports") as batch:
        batch.add_column(sa.Column("measure", sa.String(length=64), nullable=True))
        batch.add_column(sa.Column("full_deliveries", sa.Integer(), nullable=True))
        batch.drop_constraint("stage", type_="check")
        batch.create_check_constraint("stage", f"stage in ({STAGES}, 'field')")
    op.create_index(
        "ix_reports_of_updates",
        "reports",
        ["device_id", "id"],
        sqlite_where=OF_UPDATES,
        postgresql_where=OF_UPDATES,
    )
    op.create_index("ix_reports_to_digest_id", "reports", ["to_digest", "id"])
    op.create_index("ix_reports_stage_created_at", "reports", ["stage", "created_at"])
    _roles("'admin', 'publisher', 'viewer', 'enroll', 'device'", {"operator": "admin"})
    _attributes()
    _rollouts()
    _audit()


def downgrade() -> None:
    for name in ("audit", "rollouts", "device_attributes"):
        op.drop_table(name)
    op.execute(sa.delete(tokens).where(tokens.c.role.in_(["publisher", "viewer"])))
    _roles("'operator', 'enroll', 'device'", {"admin": "operator"})
    op.execute(sa.delete(reports).where(reports.c.stage == "field"))
    op.drop_index("ix_reports_stage_created_at", table_name="reports")
    op.drop_index("ix_reports_to_digest_id", table_name="reports")
    op.drop_index("ix_reports_of_updates", table_name="reports")
    with op.batch_alter_table("reports") as batch:
        batch.drop_constraint("stage", type_="check")
        batch.create_check_constraint("stage", f"stage in ({STAGES})")
        batch.drop_column("full_deliveries")
        batch.drop_column("measure")
    for name in ("former_boot", "boot", "cloned_at", "left_at"):
        op.drop_column("devices", name)
    op.drop_column("channels", "two_persons")
    for name in ("archived_at", "returns", "least_next"):
        op.drop_column("models", name)


def _roles(allowed: str, renamed: dict[str, str]) -> None:
    with op.batch_alter_table("tokens") as batch:
        batch.drop_constraint("role", type_="check")
    for before, after in renamed.items():
        op.execute(sa.update(tokens).where(tokens.c.role == before).values(role=after))
    with op.batch_alter_table("tokens") as batch:
        batch.create_check_constraint("role", f"role in ({allowed})")


def _attributes() -> None:
    op.create_table(
        "device_attributes",
        sa.Column("device_id", sa.String(length=32), sa.ForeignKey("devices.id"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("device_id", "name"),
    )
    op.create_index("ix_device_attributes_name_value", "device_attributes", ["name", "value"])


def _rollouts() -> None:
    versions = ["versions.model", "versions.digest"]
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("channel", sa.String(length=64), nullable=False),
        sa.Column("from_digest", sa.String(length=64), nullable=False),
        sa.Column("to_digest", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("stages", sa.JSON(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("reach", sa.BigInteger(), nullable=False),
        sa.Column("chosen", sa.Integer(), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.JSON(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        *(sa.Column(name, MOMENT, nullable=True) for name in ("started_at", "stage_at", "ended_at")),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["model", "channel"], ["channels.model", "channels.name"]),
        sa.ForeignKeyConstraint(["model", "from_digest"], versions),
        sa.ForeignKeyConstraint(["model", "to_digest"], versions),
        sa.CheckConstraint("state in ('proposed', 'running', 'paused', 'aborted', 'done')", name="state"),
    )
    op.create_index(
        "ix_rollouts_model_channel",
        "rollouts",
        ["model", "channel"],
        unique=True,
        sqlite_where=UNDER_WAY,
        postgresql_where=UNDER_WAY,
    )
    op.create_index("ix_rollouts_state", "rollouts", ["state"])


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("token_id", sa.Integer(), nullable=True),
        sa.Column("act", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_audit_model_id", "audit", ["model", "id"])
