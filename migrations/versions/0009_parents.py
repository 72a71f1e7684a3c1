"""A version names its parent, which need not be the version of one number less.

Revision 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("parent", sa.Integer(), nullable=True))
    op.execute("UPDATE versions SET parent = number - 1 WHERE number > 0")


def downgrade() -> None:
    op.drop_column("versions", "parent")
