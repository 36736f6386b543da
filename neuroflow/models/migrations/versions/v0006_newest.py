"""Which run is the newest of its pipeline and scope, and the indexes that counting needs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NEWEST = (
    "UPDATE pipeline_runs SET is_newest = false "
    "WHERE id NOT IN (SELECT max(id) FROM pipeline_runs GROUP BY pipeline, scope)"
)


def upgrade() -> None:
    """Add the column, fill it, and replace two indexes by ones that begin alike."""
    # Without a batch: that would copy the table, and all of its indexes, of a database of years.
    op.add_column("pipeline_runs", sa.Column("is_newest", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.execute(_NEWEST)
    op.create_index(
        "ix_pipeline_runs_newest",
        "pipeline_runs",
        ["pipeline", "status", "superseded", "is_newest"],
        sqlite_where=sa.text("is_newest"),
        postgresql_where=sa.text("is_newest"),
    )
    op.drop_index("ix_pipeline_runs_pipeline_status", "pipeline_runs")
    op.create_index("ix_pipeline_runs_pipeline_status_ended_at", "pipeline_runs", ["pipeline", "status", "ended_at"])
    op.drop_index("ix_sessions_status", "sessions")
    op.create_index("ix_sessions_status_subject_id", "sessions", ["status", "subject_id"])


def downgrade() -> None:
    """Take them away again."""
    op.drop_index("ix_sessions_status_subject_id", "sessions")
    op.create_index("ix_sessions_status", "sessions", ["status"])
    op.drop_index("ix_pipeline_runs_pipeline_status_ended_at", "pipeline_runs")
    op.create_index("ix_pipeline_runs_pipeline_status", "pipeline_runs", ["pipeline", "status"])
    op.drop_index("ix_pipeline_runs_newest", "pipeline_runs")
    with op.batch_alter_table("pipeline_runs", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_column("is_newest")
