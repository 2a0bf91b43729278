"""Learnings, and streams without a model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of learnings; let a stream have no model."""
    if op.get_bind().dialect.name == "sqlite":
        # Not by a new table: dropping the old one would delete every row that refers to a stream.
        op.execute("ALTER TABLE streams ADD COLUMN new_model VARCHAR(500)")
        _replace_model_column()
    else:
        op.alter_column("streams", "model", existing_type=sa.String(500), nullable=True)
    op.create_table(
        "learnings",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("stream_id", sa.String(length=32), nullable=False),
        sa.Column("bundle", sa.String(length=100), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=True),
        sa.Column("fps", sa.Float(), nullable=False),
        sa.Column("preset", sa.String(length=16), nullable=False),
        sa.Column("flip", sa.Boolean(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=True),
        sa.Column("start", sa.String(200), nullable=False),
        sa.Column("train_anyway", sa.Boolean(), nullable=False),
        sa.Column("train_now", sa.Boolean(), nullable=False),
        sa.Column("activate", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("learner", sa.String(length=200), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("remaining_s", sa.Float(), nullable=True),
        sa.Column("loss", sa.Float(), nullable=True),
        sa.Column("footage", sa.JSON(), nullable=True),
        sa.Column("check_summary", sa.JSON(), nullable=True),
        sa.Column("reported_at", sa.Float(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("bundle", name="learnings_bundle_once"),
    )
    op.create_index("learnings_by_stream", "learnings", ["stream_id", "created_at"])
    op.create_index("learnings_by_end", "learnings", ["finished_at"])


def downgrade() -> None:
    """Drop the table. Streams without a model get the empty name, which fits no model."""
    op.drop_table("learnings")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("ALTER TABLE streams ADD COLUMN new_model VARCHAR(500) DEFAULT '' NOT NULL")
        op.execute("UPDATE streams SET model = '' WHERE model IS NULL")
        _replace_model_column()
    else:
        op.execute("UPDATE streams SET model = '' WHERE model IS NULL")
        op.alter_column("streams", "model", existing_type=sa.String(500), nullable=False)


def _replace_model_column() -> None:
    op.execute("UPDATE streams SET new_model = model")
    op.execute("ALTER TABLE streams DROP COLUMN model")
    op.execute("ALTER TABLE streams RENAME COLUMN new_model TO model")
