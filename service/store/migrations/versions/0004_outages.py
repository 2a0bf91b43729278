"""How a camera is read, what became of it, and its outages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("streams", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("transport", sa.String(length=8), nullable=False, server_default="tcp")
        )
        batch_op.add_column(
            sa.Column("decode", sa.String(length=16), nullable=False, server_default="all")
        )

    op.create_table(
        "stream_health",
        sa.Column("stream_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("began_at", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("watched_at", sa.Float(), nullable=True),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("stream_id"),
    )
    op.create_table(
        "stream_log",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("stream_id", sa.String(length=32), nullable=False),
        sa.Column("note", sa.String(length=48), nullable=True),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("worker", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("stream_id", "note", name="stream_log_once"),
    )
    with op.batch_alter_table("stream_log", schema=None) as batch_op:
        batch_op.create_index("stream_log_by_stream", ["stream_id", "id"], unique=False)
        batch_op.create_index("stream_log_by_time", ["at"], unique=False)


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("stream_log", schema=None) as batch_op:
        batch_op.drop_index("stream_log_by_time")
        batch_op.drop_index("stream_log_by_stream")

    op.drop_table("stream_log")
    op.drop_table("stream_health")
    with op.batch_alter_table("streams", schema=None) as batch_op:
        batch_op.drop_column("decode")
        batch_op.drop_column("transport")
