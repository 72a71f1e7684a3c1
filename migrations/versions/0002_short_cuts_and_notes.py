"""Short cuts of candidates, and notes on them.

Revision 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("candidates", sa.Column("notes", sa.JSON(), server_default="[]", nullable=False))
    op.create_table(
        "shortcuts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("candidate_id", sa.Integer(), nullable=False),
        sa.Column("from_digest", sa.String(length=64), nullable=False),
        sa.Column("from_version", sa.Integer(), nullable=False),
        sa.Column("payload_sha256", sa.String(length=64), nullable=False),
        sa.Column("payload_length", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name="fk_shortcuts_candidate_id_candidates"),
        sa.PrimaryKeyConstraint("id", name="pk_shortcuts"),
        sa.UniqueConstraint("candidate_id", "from_version", name="uq_shortcuts_candidate_id_from_version"),
    )


def downgrade() -> None:
    op.drop_table("shortcuts")
    op.drop_column("candidates", "notes")
