"""Devices say what they keep and how far an update is; reports have an id, the device's time and a cause.

Revision 0010, after 0009. On the way back, updates that were postponed become failed ones.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | None = None
depends_on: str | None = None

STAGES = "'installed', 'failed', 'rolled_back'"
MORE_STAGES = "'installed', 'failed', 'postponed', 'rolled_back'"

reports = sa.table("reports", sa.column("stage"))


def upgrade() -> None:
    op.add_column("devices", sa.Column("previous", sa.String(length=64), nullable=True))
    op.add_column("devices", sa.Column("stage", sa.String(length=32), nullable=True))
    with op.batch_alter_table("reports") as batch:
        batch.add_column(sa.Column("cause", sa.String(length=16), nullable=True))
        batch.add_column(sa.Column("report_id", sa.String(length=32), nullable=True))
        batch.add_column(sa.Column("device_time", sa.BigInteger(), nullable=True))
        batch.drop_constraint("stage", type_="check")
        batch.create_check_constraint("stage", f"stage in ({MORE_STAGES})")
        batch.create_check_constraint("cause", "cause in ('network', 'server', 'device', 'version')")
    op.create_index("ix_reports_device_id_report_id", "reports", ["device_id", "report_id"], unique=True)


def downgrade() -> None:
    op.drop_index("ix_reports_device_id_report_id", table_name="reports")
    op.execute(sa.update(reports).where(reports.c.stage == "postponed").values(stage="failed"))
    with op.batch_alter_table("reports") as batch:
        batch.drop_constraint("cause", type_="check")
        batch.drop_constraint("stage", type_="check")
        batch.create_check_constraint("stage", f"stage in ({STAGES})")
        for column in ("cause", "report_id", "device_time"):
            batch.drop_column(column)
    for column in ("previous", "stage"):
        op.drop_column("devices", column)
