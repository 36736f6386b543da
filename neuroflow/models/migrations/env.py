"""What Alembic executes for every command: run migrations on the connection that it was given."""

from __future__ import annotations

from alembic import context

from neuroflow.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite can't alter most of a table in place
)
# The caller's transaction covers all revisions, so that a failed upgrade leaves nothing behind.
with context.begin_transaction():
    context.run_migrations()
