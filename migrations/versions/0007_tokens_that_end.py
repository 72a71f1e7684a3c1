"""Tokens that expire, and that enrol a number of devices; those made before do neither.

Revision 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("tokens", sa.Column("uses", sa.Integer(), nullable=True))
    op.add_column("tokens", sa.Column("used", sa.Integer(), server_default="0", nullable=False))
    op.add_column("tokens", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for column in ("uses", "used", "expires_at"):
        op.drop_column("tokens", column)
