"""Zones, schedules, calibrated thresholds, roll-ups, reviews, media, and attempts to deliver."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STREAM_COLUMNS = (
    "zones",
    "schedule",
    "cooldown_s",
    "false_alarms_per_day",
    "calibrated_threshold",
    "deleted_at",
)
EVENT_COLUMNS = ("muted", "label", "label_note", "labelled_at")
WEBHOOK_COLUMNS = ("name", "old_secret", "old_secret_until", "stream_ids", "held_until")
DELIVERY_COLUMNS = ("attempts_before", "replayed_at")
ROLLUPS = {"scores_by_second": 1, "scores_by_minute": 60}
"""Tables, and the seconds that a row is of."""


def _rising_id() -> sa.Column[int]:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", big, autoincrement=True, nullable=False)


def _roll_up() -> None:
    """Roll up the scores that are there: they are kept for days from now on, and not for ever."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    second = "CAST(captured_at AS INTEGER)" if is_sqlite else "CAST(floor(captured_at) AS BIGINT)"
    for table, length in ROLLUPS.items():
        op.execute(
            f"INSERT INTO {table} (stream_id, at, count, low, total, high, threshold) "
            f"SELECT stream_id, {second} / {length} * {length} AS start, "
            "count(*), min(score), sum(score), max(score), max(threshold) "
            "FROM scores WHERE score IS NOT NULL GROUP BY stream_id, start"
        )


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("streams", schema=None) as batch_op:
        batch_op.add_column(sa.Column("zones", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("schedule", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("cooldown_s", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("false_alarms_per_day", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("calibrated_threshold", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("deleted_at", sa.Float(), nullable=True))
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("muted", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch_op.add_column(sa.Column("label", sa.String(length=8), nullable=True))
        batch_op.add_column(sa.Column("label_note", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("labelled_at", sa.Float(), nullable=True))
    with op.batch_alter_table("cursors", schema=None) as batch_op:
        batch_op.add_column(sa.Column("told_at", sa.Float(), nullable=True))
    with op.batch_alter_table("webhooks", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("name", sa.String(length=200), nullable=False, server_default="")
        )
        batch_op.add_column(sa.Column("old_secret", sa.String(length=200), nullable=True))
        batch_op.add_column(sa.Column("old_secret_until", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("stream_ids", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("held_until", sa.Float(), nullable=True))
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("attempts_before", sa.Integer(), nullable=False, server_default="0")
        )
        batch_op.add_column(sa.Column("replayed_at", sa.Float(), nullable=True))
    for table in ROLLUPS:
        op.create_table(
            table,
            sa.Column("stream_id", sa.String(length=32), nullable=False),
            sa.Column("at", sa.BigInteger(), nullable=False),
            sa.Column("count", sa.Integer(), nullable=False),
            sa.Column("low", sa.Float(), nullable=False),
            sa.Column("total", sa.Float(), nullable=False),
            sa.Column("high", sa.Float(), nullable=False),
            sa.Column("threshold", sa.Float(), nullable=True),
            sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], ondelete="CASCADE"),
            sa.PrimaryKeyConstraint("stream_id", "at"),
            sqlite_with_rowid=False,
        )
    _roll_up()
    if op.get_bind().dialect.name == "postgresql":
        # As many rows go as come: the room of a fifth of the table, the default, is too much.
        op.execute("ALTER TABLE scores SET (autovacuum_vacuum_scale_factor = 0.02)")
    op.create_table(
        "thresholds",
        _rising_id(),
        sa.Column("stream_id", sa.String(length=32), nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.Column("model", sa.String(length=500), nullable=False),
        sa.Column("false_alarms_per_day", sa.Float(), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("low", sa.Float(), nullable=False),
        sa.Column("high", sa.Float(), nullable=False),
        sa.Column("footage_s", sa.Float(), nullable=False),
        sa.Column("fit", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("thresholds", schema=None) as batch_op:
        batch_op.create_index("thresholds_by_stream", ["stream_id", "id"], unique=False)
    op.create_table(
        "normal_footage",
        sa.Column("stream_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("basis", sa.String(length=64), nullable=False),
        sa.Column("last_frame", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("limit", sa.Float(), nullable=True),
        sa.Column("low", sa.Float(), nullable=False),
        sa.Column("peaks", sa.JSON(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("finder", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("stream_id", "number"),
    )
    op.create_table(
        "event_media",
        sa.Column("event_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("shelf", sa.String(length=32), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("content_type", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("event_id", "kind"),
    )
    with op.batch_alter_table("event_media", schema=None) as batch_op:
        batch_op.create_index("event_media_by_time", ["created_at"], unique=False)
    op.create_table(
        "delivery_attempts",
        _rising_id(),
        sa.Column("delivery_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("took_s", sa.Float(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("delivery_attempts", schema=None) as batch_op:
        batch_op.create_index("attempts_of_delivery", ["delivery_id", "id"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.execute("DELETE FROM streams WHERE deleted_at IS NOT NULL")
    op.drop_table("delivery_attempts")
    op.drop_table("event_media")
    op.drop_table("normal_footage")
    op.drop_table("thresholds")
    for table in ROLLUPS:
        op.drop_table(table)
    for table, columns in (
        ("deliveries", DELIVERY_COLUMNS),
        ("webhooks", WEBHOOK_COLUMNS),
        ("cursors", ("told_at",)),
        ("events", EVENT_COLUMNS),
        ("streams", STREAM_COLUMNS),
    ):
        with op.batch_alter_table(table, schema=None) as batch_op:
            for column in columns:
                batch_op.drop_column(column)
