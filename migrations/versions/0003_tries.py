"""The trials before a candidate was chosen, and the fingerprint of its data.

Revision 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("candidates", sa.Column("tried", sa.JSON(), server_default="[]", nullable=False))
    op.add_column("candidates", sa.Column("data_sha256", sa.String(length=64), nullable=True))


def downgrade() -> None:
    op.drop_column("candidates", "data_sha256")
    op.drop_column("candidates", "tried")
