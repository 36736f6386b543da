"""How long the calls of SLURM's programs took, in buckets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; calls of before are in no bucket."""
    op.create_table(
        "call_buckets",
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("up_to_seconds", sa.Double(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("program", "up_to_seconds", name="pk_call_buckets"),
    )


def downgrade() -> None:
    """Take it away again."""
    op.drop_table("call_buckets")
