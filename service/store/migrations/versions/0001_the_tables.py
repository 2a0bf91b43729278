"""All tables, as of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _rising_id() -> sa.Column[int]:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", big, autoincrement=True, nullable=False)


def _stream_id() -> sa.Column[str]:
    stream = sa.ForeignKey("streams.id", ondelete="CASCADE")
    return sa.Column("stream_id", sa.String(length=32), stream, nullable=False)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "receivers",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), server_default="webhook", nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), server_default="", nullable=False),
        sa.Column("old_secret", sa.String(length=200), nullable=True),
        sa.Column("old_secret_until", sa.Float(), nullable=True),
        sa.Column("stream_ids", sa.JSON(), nullable=True),
        sa.Column("event_types", sa.JSON(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("held_until", sa.Float(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "streams",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("model", sa.String(length=500), nullable=False),
        sa.Column("gamma", sa.Float(), nullable=True),
        sa.Column("memory_rule", sa.String(length=20), nullable=True),
        sa.Column("appearance_weight", sa.Float(), nullable=True),
        sa.Column("threshold", sa.Float(), nullable=True),
        sa.Column("fps", sa.Float(), nullable=True),
        sa.Column("weight", sa.Float(), server_default="1", nullable=False),
        sa.Column("loop", sa.Boolean(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("transport", sa.String(length=8), server_default="tcp", nullable=False),
        sa.Column("decode", sa.String(length=16), server_default="all", nullable=False),
        sa.Column("receiver_ids", sa.JSON(), nullable=True),
        sa.Column("zones", sa.JSON(), nullable=True),
        sa.Column("schedule", sa.JSON(), nullable=True),
        sa.Column("standing_s", sa.Float(), nullable=True),
        sa.Column("cooldown_s", sa.Float(), nullable=True),
        sa.Column("false_alarms_per_day", sa.Float(), nullable=True),
        sa.Column("calibrated_threshold", sa.Float(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("deleted_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "cursors",
        _stream_id(),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_frame", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.Float(), nullable=False),
        sa.Column("detection", sa.JSON(), nullable=False),
        sa.Column("notified_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("stream_id"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("receiver_id", sa.String(length=32), nullable=False),
        sa.Column("stream_id", sa.String(length=32), nullable=False),
        sa.Column("event_type", sa.String(length=50), nullable=False),
        sa.Column("event_id", sa.String(length=32), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("attempts_before", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.Float(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("replayed_at", sa.Float(), nullable=True),
        sa.Column("delivered_at", sa.Float(), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["receiver_id"], ["receivers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("deliveries_due", "deliveries", ["state", "next_attempt_at"])
    op.create_index("deliveries_of_receiver", "deliveries", ["receiver_id", "created_at"])
    op.create_table(
        "events",
        sa.Column("id", sa.String(length=32), nullable=False),
        _stream_id(),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("first_frame", sa.BigInteger(), nullable=False),
        sa.Column("last_frame", sa.BigInteger(), nullable=False),
        sa.Column("peak_score", sa.Float(), nullable=False),
        sa.Column("peak_frame", sa.BigInteger(), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("region", sa.JSON(), nullable=True),
        sa.Column("cause", sa.String(length=16), server_default="motion", nullable=False),
        sa.Column("picture", sa.LargeBinary(), nullable=True),
        sa.Column("muted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("label", sa.String(length=8), nullable=True),
        sa.Column("label_note", sa.Text(), nullable=True),
        sa.Column("labelled_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("events_by_label", "events", ["labelled_at"])
    op.create_index("events_by_stream", "events", ["stream_id", "started_at"])
    op.create_index("events_by_time", "events", ["started_at"])
    op.create_table(
        "normal_footage",
        _stream_id(),
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
        sa.PrimaryKeyConstraint("stream_id", "number"),
    )
    op.create_table(
        "scores",
        _stream_id(),
        sa.Column("frame", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("captured_at", sa.Float(), nullable=False),
        sa.Column("scored_at", sa.Float(), nullable=False),
        sa.Column("psnr", sa.Float(), nullable=True),
        sa.Column("distance", sa.Float(), nullable=True),
        sa.Column("gate_error", sa.Float(), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("standing", sa.Float(), nullable=True),
        sa.Column("threshold", sa.Float(), nullable=True),
        sa.Column("memory_updated", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "frame"),
    )
    op.create_index("scores_by_time", "scores", ["stream_id", "captured_at"])
    for table in ("scores_by_minute", "scores_by_second"):
        op.create_table(
            table,
            _stream_id(),
            sa.Column("at", sa.BigInteger(), nullable=False),
            sa.Column("count", sa.Integer(), nullable=False),
            sa.Column("low", sa.Float(), nullable=False),
            sa.Column("total", sa.Float(), nullable=False),
            sa.Column("high", sa.Float(), nullable=False),
            sa.Column("threshold", sa.Float(), nullable=True),
            sa.PrimaryKeyConstraint("stream_id", "at"),
            sqlite_with_rowid=False,
        )
    op.create_table(
        "stream_health",
        _stream_id(),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("began_at", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("watched_at", sa.Float(), nullable=True),
        sa.Column("notified", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("stream_id"),
    )
    op.create_table(
        "stream_log",
        _rising_id(),
        _stream_id(),
        sa.Column("note", sa.String(length=48), nullable=True),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("worker", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("stream_id", "note", name="stream_log_once"),
    )
    op.create_index("stream_log_by_stream", "stream_log", ["stream_id", "id"])
    op.create_index("stream_log_by_time", "stream_log", ["at"])
    op.create_table(
        "thresholds",
        _rising_id(),
        _stream_id(),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.Column("model", sa.String(length=500), nullable=False),
        sa.Column("false_alarms_per_day", sa.Float(), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("low", sa.Float(), nullable=False),
        sa.Column("high", sa.Float(), nullable=False),
        sa.Column("footage_s", sa.Float(), nullable=False),
        sa.Column("fit", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("thresholds_by_stream", "thresholds", ["stream_id", "id"])
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
    op.create_index("attempts_of_delivery", "delivery_attempts", ["delivery_id", "id"])
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
    op.create_index("event_media_by_time", "event_media", ["created_at"])
    if op.get_bind().dialect.name == "postgresql":
        # As many scores are deleted as are added. PostgreSQL's default would let dead rows take a
        # fifth of the table before it cleans up.
        op.execute("ALTER TABLE scores SET (autovacuum_vacuum_scale_factor = 0.02)")


def downgrade() -> None:
    """Drop them, those that refer to others first."""
    for table in (
        "event_media",
        "delivery_attempts",
        "thresholds",
        "stream_log",
        "stream_health",
        "scores_by_second",
        "scores_by_minute",
        "scores",
        "normal_footage",
        "events",
        "deliveries",
        "cursors",
        "streams",
        "receivers",
    ):
        op.drop_table(table)
