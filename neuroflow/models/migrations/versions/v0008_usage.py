"""What each attempt used: CPU time, and the time that its job took."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; of earlier attempts neither is known."""
    op.add_column("attempts", sa.Column("cpu_seconds", sa.Double(), nullable=True))
    op.add_column("attempts", sa.Column("elapsed_seconds", sa.Double(), nullable=True))


def downgrade() -> None:
    """Take them away again."""
    with op.batch_alter_table("attempts", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_column("elapsed_seconds")
        table.drop_column("cpu_seconds")
