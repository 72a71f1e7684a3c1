"""Events of rollouts, for a webhook; indexes by which a fleet's devices are counted.

Revision 0014, after 0012.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0012"
branch_labels: str | None = None
depends_on: str | None = None

HERE = sa.text("left_at IS NULL")
UPDATING = sa.text("stage IS NOT NULL")
UNDELIVERED = sa.text("delivered_at IS NULL")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("rollout_id", sa.Integer(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", MOMENT, nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("delivered_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("message_id"),
    )
    _index("ix_events_undelivered", "events", ["id"], UNDELIVERED)
    op.create_index("ix_events_created_at", "events", ["created_at"])
    _index("ix_devices_here", "devices", ["model", "channel", "digest", "left_at"], HERE)
    _index("ix_devices_updating", "devices", ["model", "channel"], UPDATING)


def downgrade() -> None:
    op.drop_index("ix_devices_updating", table_name="devices")
    op.drop_index("ix_devices_here", table_name="devices")
    op.drop_table("events")


def _index(name: str, table: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
