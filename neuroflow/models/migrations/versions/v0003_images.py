"""The container images, and which of them each attempt was made with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the columns; of earlier attempts only the image's name is known."""
    op.create_table(
        "images",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("stamp", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("tool_version", sa.Text(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
        sa.UniqueConstraint("name", "stamp", name="uq_images_name_stamp"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("attempts", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(sa.Column("image_record_id", sa.Integer(), nullable=True))
        table.add_column(sa.Column("image_version", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("node_image", sa.Text(), nullable=False, server_default=""))
        table.create_foreign_key("fk_attempts_image_record_id_images", "images", ["image_record_id"], ["id"])
    op.create_index("ix_attempts_image_record_id", "attempts", ["image_record_id"])


def downgrade() -> None:
    """Take them away again."""
    op.drop_index("ix_attempts_image_record_id", "attempts")
    with op.batch_alter_table("attempts", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_constraint("fk_attempts_image_record_id_images", type_="foreignkey")
        table.drop_column("node_image")
        table.drop_column("image_version")
        table.drop_column("image_record_id")
    op.drop_table("images")
