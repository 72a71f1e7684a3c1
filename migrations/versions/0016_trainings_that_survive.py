"""Trainings have a priority, saved states to go on from, and a log.

Revision 0016, after 0014.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: str | None = None
depends_on: str | None = None

UNFINISHED = sa.text("state in ('queued', 'running')")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("trainings", sa.Column("turn", sa.Integer(), server_default="0", nullable=False))
    op.create_index(
        "ix_trainings_in_turn", "trainings", ["turn", "id"], sqlite_where=UNFINISHED, postgresql_where=UNFINISHED
    )
    op.drop_index("ix_trainings_state_id", "trainings")
    op.create_table(
        "saved_states",
        sa.Column("training_id", sa.Integer(), nullable=False),
        sa.Column("part", sa.String(length=64), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("object_sha256", sa.String(length=64), nullable=False),
        sa.Column("object_length", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("saved_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["training_id"], ["trainings.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("training_id", "part"),
    )
    op.create_table(
        "training_lines",
        sa.Column("training_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["training_id"], ["trainings.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("training_id", "number"),
    )


def downgrade() -> None:
    op.drop_table("training_lines")
    op.drop_table("saved_states")
    op.create_index("ix_trainings_state_id", "trainings", ["state", "id"])
    op.drop_index("ix_trainings_in_turn", "trainings")
    op.drop_column("trainings", "turn")
