"""Devices have the outcome of their last update, and channels say when they moved, for lists of who is behind.

Revision 0013, after 0012. A channel moved, as far as is known, when the version was published that it stands at.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | None = None
depends_on: str | None = None

IN_SERVICE = sa.text("left_at IS NULL")
IN_UPDATE = sa.text("left_at IS NULL AND stage IS NOT NULL")
FAILED = sa.text("left_at IS NULL AND outcome = 'failed'")

INDEXES = {
    "ix_devices_here": (["model", "channel", "digest", "left_at"], IN_SERVICE),
    "ix_devices_updating": (["model", "channel"], IN_UPDATE),
    "ix_devices_failed": (["model", "channel"], FAILED),
}

OUTCOMES = """
UPDATE devices SET outcome = (
  SELECT stage FROM reports WHERE reports.device_id = devices.id AND reports.stage <> 'field'
  ORDER BY reports.id DESC LIMIT 1)
"""
MOVES = """
UPDATE channels SET moved_at = (
  SELECT published_at FROM versions WHERE versions.model = channels.model AND versions.digest = channels.digest)
"""


def upgrade() -> None:
    op.add_column("devices", sa.Column("outcome", sa.String(length=16), nullable=True))
    op.add_column("channels", sa.Column("moved_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(OUTCOMES)
    op.execute(MOVES)
    for name, (columns, where) in INDEXES.items():
        op.create_index(name, "devices", columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, table_name="devices")
    op.drop_column("channels", "moved_at")
    op.drop_column("devices", "outcome")
