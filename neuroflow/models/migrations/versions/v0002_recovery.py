"""Job arrays, failure signatures, resolved failures, and the budget of SLURM calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and tables; rows of the former schema keep what they say."""
    with op.batch_alter_table("attempts", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(sa.Column("array_token", sa.Text(), nullable=True))
        table.add_column(sa.Column("array_index", sa.Integer(), nullable=True))
        table.add_column(sa.Column("signature", sa.Text(), nullable=False, server_default=""))
    op.create_index("ix_attempts_failure_ended_at", "attempts", ["failure", "ended_at"])
    op.create_index("ix_attempts_ended_at", "attempts", ["ended_at"])
    with op.batch_alter_table("pipeline_runs", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(sa.Column("signature", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("resolution", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "call_budgets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_call_budgets"),
    )
    op.create_table(
        "call_statistics",
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("last_seconds", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("program", name="pk_call_statistics"),
    )


def downgrade() -> None:
    """Take them away again."""
    op.drop_table("call_statistics")
    op.drop_table("call_budgets")
    with op.batch_alter_table("pipeline_runs", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_column("resolution")
        table.drop_column("signature")
    op.drop_index("ix_attempts_ended_at", "attempts")
    op.drop_index("ix_attempts_failure_ended_at", "attempts")
    with op.batch_alter_table("attempts", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_column("signature")
        table.drop_column("array_index")
        table.drop_column("array_token")
