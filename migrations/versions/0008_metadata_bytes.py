"""Versions with the bytes of the metadata that a device at the parent fetches; unknown of those published before.

Revision 0008, after 0007.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("metadata_bytes", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("versions", "metadata_bytes")
