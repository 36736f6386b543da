"""Which runs, and whose, go first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; everything that was there before has the normal priority."""
    # Not in a batch: no table is copied, which takes long where two years of runs are kept.
    op.add_column("subjects", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("pipeline_runs", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Take them away again."""
    with op.batch_alter_table("pipeline_runs", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_column("priority")
    with op.batch_alter_table("subjects", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_column("priority")
