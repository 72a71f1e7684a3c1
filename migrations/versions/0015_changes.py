"""What changed is told to processes that remember it; the tokens of a device are found by it.

Revision 0015, after 0014.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("topic", sa.String(16), nullable=False),
        sa.Column("key", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_changes")),
    )
    op.create_index(op.f("ix_tokens_device_id"), "tokens", ["device_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_tokens_device_id"), "tokens")
    op.drop_table("changes")
