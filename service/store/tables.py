"""The tables. Only the front end reads or writes them.

Times are seconds since 1970 (UTC) as floats, as everywhere inside; the API shows ISO 8601.
"""

from __future__ import annotations

from typing import Annotated, Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from service.stream_choices import Decode, Transport

StreamKey = Annotated[
    str, mapped_column(ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True)
]
"""The stream of a row, as its key or the beginning of it; the row is deleted with the stream."""
RisingId = Annotated[
    int,
    mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
]
"""A key that the database gives, above all before it."""


class Base(DeclarativeBase):
    """Holds the metadata that Alembic compares the database with."""


class StreamRow(Base):
    """A registered camera."""

    __tablename__ = "streams"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    source: Mapped[str] = mapped_column(Text)
    """It holds credentials: no answer and no log line contains it."""
    model: Mapped[str | None] = mapped_column(String(500))
    """A bundle's name; None: it has none yet, and isn't scored."""
    gamma: Mapped[float | None] = mapped_column(Float)
    memory_rule: Mapped[str | None] = mapped_column(String(20))
    appearance_weight: Mapped[float | None] = mapped_column(Float)
    threshold: Mapped[float | None] = mapped_column(Float)
    fps: Mapped[float | None] = mapped_column(Float)
    weight: Mapped[float] = mapped_column(Float, default=1.0, server_default="1")
    loop: Mapped[bool] = mapped_column(Boolean, default=False)
    paused: Mapped[bool] = mapped_column(Boolean, default=False)
    transport: Mapped[Transport] = mapped_column(String(8), default="tcp", server_default="tcp")
    decode: Mapped[Decode] = mapped_column(String(16), default="all", server_default="all")
    receiver_ids: Mapped[list[str] | None] = mapped_column(JSON)
    """None: all receivers are notified of this stream."""
    zones: Mapped[list[dict[str, object]] | None] = mapped_column(JSON)
    """`service.messages.Zone`s; None: the whole picture is watched."""
    schedule: Mapped[dict[str, object] | None] = mapped_column(JSON)
    """When it is armed; None: always."""
    standing_s: Mapped[float | None] = mapped_column(Float)
    """Dwell time of what stands still; None: only zones of that kind are watched for it."""
    cooldown_s: Mapped[float | None] = mapped_column(Float)
    """None takes the operator's."""
    false_alarms_per_day: Mapped[float | None] = mapped_column(Float)
    """None takes the operator's."""
    calibrated_threshold: Mapped[float | None] = mapped_column(Float)
    """The newest `ThresholdRow`'s that is good enough; in force where `threshold` is None."""
    revision: Mapped[int] = mapped_column(Integer, default=1)
    created_at: Mapped[float] = mapped_column(Float)
    deleted_at: Mapped[float | None] = mapped_column(Float)
    """No answer contains it any more; `service.history` deletes what is left of it."""


class LearningRow(Base):
    """A model that is learned for a stream, or was: what was asked for, and how it is doing."""

    __tablename__ = "learnings"
    __table_args__ = (
        Index("learnings_by_stream", "stream_id", "created_at"),
        Index("learnings_by_end", "finished_at"),
        UniqueConstraint("bundle", name="learnings_bundle_once"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    stream_id: Mapped[str] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"))
    bundle: Mapped[str] = mapped_column(String(100))
    """The name that its model has, or gets."""
    seconds: Mapped[float] = mapped_column(Float)
    sources: Mapped[list[str] | None] = mapped_column(JSON)
    """Videos to learn from, with credentials; None: the stream's own source."""
    fps: Mapped[float] = mapped_column(Float)
    preset: Mapped[str] = mapped_column(String(16))
    flip: Mapped[bool] = mapped_column(Boolean)
    epochs: Mapped[int | None] = mapped_column(Integer)
    start: Mapped[str] = mapped_column(String(200), default="auto")
    """The weights to begin with."""
    train_anyway: Mapped[bool] = mapped_column(Boolean)
    train_now: Mapped[bool] = mapped_column(Boolean, default=False)
    """Collect no more."""
    activate: Mapped[str] = mapped_column(String(16))
    """Whether the model goes live: `if_better`, `always` or `never`."""
    state: Mapped[str] = mapped_column(String(16))
    """A `service.learning_messages.LearningState`."""
    reason: Mapped[str] = mapped_column(Text, default="")
    learner: Mapped[str] = mapped_column(String(200), default="")
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    remaining_s: Mapped[float | None] = mapped_column(Float)
    loss: Mapped[float | None] = mapped_column(Float)
    footage: Mapped[dict[str, object] | None] = mapped_column(JSON)
    """A `FootageSummary`."""
    check_summary: Mapped[dict[str, object] | None] = mapped_column(JSON)
    """A `CheckSummary`."""
    reported_at: Mapped[float | None] = mapped_column(Float)
    """The time of the newest report, by its learner's clock."""
    created_at: Mapped[float] = mapped_column(Float)
    finished_at: Mapped[float | None] = mapped_column(Float)
    """None while it is under way: a stream has one such learning at most."""


class ScoreRow(Base):
    """One frame's score. Its key lets each score be stored once only."""

    __tablename__ = "scores"
    __table_args__ = (Index("scores_by_time", "stream_id", "captured_at"),)

    stream_id: Mapped[StreamKey]
    frame: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer)
    captured_at: Mapped[float] = mapped_column(Float)
    scored_at: Mapped[float] = mapped_column(Float)
    psnr: Mapped[float | None] = mapped_column(Float)
    distance: Mapped[float | None] = mapped_column(Float)
    gate_error: Mapped[float | None] = mapped_column(Float)
    score: Mapped[float | None] = mapped_column(Float)
    standing: Mapped[float | None] = mapped_column(Float)
    threshold: Mapped[float | None] = mapped_column(Float)
    memory_updated: Mapped[bool] = mapped_column(Boolean)
    state: Mapped[str] = mapped_column(String(16))


_BY_KEY = {"sqlite_with_rowid": False}
"""Keeps the rows of a stream together on disk."""


class _RollUp:
    """A summary of a stream's scores over some time."""

    __table_args__ = _BY_KEY

    stream_id: Mapped[StreamKey]
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Its beginning in whole seconds since 1970, by time of capture."""
    count: Mapped[int] = mapped_column(Integer)
    """How many scores have a value."""
    low: Mapped[float] = mapped_column(Float)
    total: Mapped[float] = mapped_column(Float)
    """Their sum."""
    high: Mapped[float] = mapped_column(Float)
    threshold: Mapped[float | None] = mapped_column(Float)
    """The threshold in force at the newest score."""


class SecondRow(_RollUp, Base):
    """The scores of a second, kept for longer than the scores themselves."""

    __tablename__ = "scores_by_second"


class MinuteRow(_RollUp, Base):
    """The scores of a minute, kept for longer still."""

    __tablename__ = "scores_by_minute"


class ThresholdRow(Base):
    """A threshold that was calibrated for a stream, and what it is based on."""

    __tablename__ = "thresholds"
    __table_args__ = (Index("thresholds_by_stream", "stream_id", "id"),)

    id: Mapped[RisingId]
    stream_id: Mapped[str] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"))
    made_at: Mapped[float] = mapped_column(Float)
    model: Mapped[str] = mapped_column(String(500))
    """The bundle whose scores it is for."""
    false_alarms_per_day: Mapped[float] = mapped_column(Float)
    """The rate that the threshold was calibrated for."""
    threshold: Mapped[float] = mapped_column(Float)
    low: Mapped[float] = mapped_column(Float)
    """`low` and `high` are its 95 % interval."""
    high: Mapped[float] = mapped_column(Float)
    footage_s: Mapped[float] = mapped_column(Float)
    """Seconds of normal footage that it is based on."""
    fit: Mapped[dict[str, object]] = mapped_column(JSON)
    """The parameters of the fitted tail."""


class FootageRow(Base):
    """A stretch of a stream's normal footage: its highest peaks, which calibration uses.

    The newest row of a stream says which of its scores have been used already.
    """

    __tablename__ = "normal_footage"

    stream_id: Mapped[StreamKey]
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Rises by one."""
    version: Mapped[int] = mapped_column(Integer, default=0)
    """Compared and raised by each write, as in `CursorRow`."""
    basis: Mapped[str] = mapped_column(String(64))
    """A hash of the settings that the stream's scores depend on."""
    last_frame: Mapped[int] = mapped_column(BigInteger)
    """Scores up to this frame have been used, or left out."""
    seconds: Mapped[float] = mapped_column(Float, default=0.0)
    limit: Mapped[float | None] = mapped_column(Float)
    """The threshold in force; None: there was none."""
    low: Mapped[float] = mapped_column(Float, default=0.0)
    """Only peaks (magnitudes) higher than this were kept."""
    peaks: Mapped[list[float]] = mapped_column(JSON, default=list)
    events: Mapped[list[list[float]]] = mapped_column(JSON, default=list)
    """First frame, peak and seconds of each event in between."""
    finder: Mapped[dict[str, object]] = mapped_column(JSON, default=dict)
    """The state of the search for peaks."""


class EventRow(Base):
    """Something abnormal, with a start and, later, an end."""

    __tablename__ = "events"
    __table_args__ = (
        Index("events_by_time", "started_at"),
        Index("events_by_stream", "stream_id", "started_at"),
        Index("events_by_label", "labelled_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    stream_id: Mapped[str] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"))
    started_at: Mapped[float] = mapped_column(Float)
    ended_at: Mapped[float | None] = mapped_column(Float)
    first_frame: Mapped[int] = mapped_column(BigInteger)
    last_frame: Mapped[int] = mapped_column(BigInteger)
    peak_score: Mapped[float] = mapped_column(Float)
    peak_frame: Mapped[int] = mapped_column(BigInteger)
    threshold: Mapped[float] = mapped_column(Float)
    region: Mapped[list[float] | None] = mapped_column(JSON)
    """Left, top, right, bottom as shares of the picture, at the peak."""
    cause: Mapped[str] = mapped_column(String(16), default="motion", server_default="motion")
    """A `model.scoring.cause.Cause`, at the peak."""
    picture: Mapped[bytes | None] = mapped_column(LargeBinary)
    """JPEG of the preview nearest to the start."""
    muted: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    """No receiver was notified: it came in the cooldown after another event's message."""
    label: Mapped[Literal["real", "normal"] | None] = mapped_column(String(8))
    """A person's judgement."""
    label_note: Mapped[str | None] = mapped_column(Text)
    labelled_at: Mapped[float | None] = mapped_column(Float)


class EventMediaRow(Base):
    """A file on disk that shows an event."""

    __tablename__ = "event_media"
    __table_args__ = (Index("event_media_by_time", "created_at"),)

    event_id: Mapped[str] = mapped_column(
        ForeignKey("events.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    """`peak`, `heat` or `clip`."""
    shelf: Mapped[str] = mapped_column(String(32))
    """The media folder that holds it: each machine that records has its own."""
    path: Mapped[str] = mapped_column(Text)
    """Its path below the media folder."""
    content_type: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    """Bytes."""
    created_at: Mapped[float] = mapped_column(Float)


class CursorRow(Base):
    """How far the recorder has recorded a stream, and the state of its event detection."""

    __tablename__ = "cursors"

    stream_id: Mapped[StreamKey]
    version: Mapped[int] = mapped_column(Integer, default=0)
    """Compared and raised by each write, so that a second recorder rolls back."""
    last_frame: Mapped[int] = mapped_column(BigInteger, default=-1)
    recorded_at: Mapped[float] = mapped_column(Float, default=0.0)
    detection: Mapped[dict[str, object]] = mapped_column(JSON, default=dict)
    notified_at: Mapped[float | None] = mapped_column(Float)
    """When the newest `event.started` message of the stream was made."""


class StreamLogRow(Base):
    """An entry of a stream's log. The recorder writes it, and keeps the newest of each stream."""

    __tablename__ = "stream_log"
    __table_args__ = (
        Index("stream_log_by_stream", "stream_id", "id"),
        Index("stream_log_by_time", "at"),
        UniqueConstraint("stream_id", "note", name="stream_log_once"),
    )

    id: Mapped[RisingId]
    """Rises: it orders a stream's entries even when clocks jump."""
    stream_id: Mapped[str] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"))
    note: Mapped[str | None] = mapped_column(String(48))
    """The note's id in Redis, so that it is stored once; None: it is the recorder's own entry."""
    kind: Mapped[str] = mapped_column(String(32))
    at: Mapped[float] = mapped_column(Float)
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    worker: Mapped[str] = mapped_column(String(200))


class StreamHealthRow(Base):
    """A stream's outage while it lasts: a stream that is watched has no row."""

    __tablename__ = "stream_health"

    stream_id: Mapped[StreamKey]
    version: Mapped[int] = mapped_column(Integer, default=0)
    """Compared and raised by each write, as in `CursorRow`."""
    began_at: Mapped[float] = mapped_column(Float)
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    watched_at: Mapped[float | None] = mapped_column(Float)
    """Since when it is watched again; None: it isn't."""
    notified: Mapped[bool] = mapped_column(Boolean)
    """`stream.down` is in the outbox."""


class ReceiverRow(Base):
    """What gets notifications: a webhook, an MQTT broker, or a service that Apprise knows."""

    __tablename__ = "receivers"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), default="webhook", server_default="webhook")
    """A value of `service.alert.attempts.ReceiverKind`."""
    url: Mapped[str] = mapped_column(Text)
    """It holds credentials: no answer and no log line contains it."""
    secret: Mapped[str] = mapped_column(String(200))
    """`whsec_…`, answered only when it is made. Empty for kinds that sign nothing."""
    name: Mapped[str] = mapped_column(String(200), default="", server_default="")
    old_secret: Mapped[str | None] = mapped_column(String(200))
    """The secret before this one, which signs too until `old_secret_until`."""
    old_secret_until: Mapped[float | None] = mapped_column(Float)
    stream_ids: Mapped[list[str] | None] = mapped_column(JSON)
    """None: all streams."""
    event_types: Mapped[list[str]] = mapped_column(JSON)
    """Empty: all."""
    enabled: Mapped[bool] = mapped_column(Boolean, default=True)
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    held_until: Mapped[float | None] = mapped_column(Float)
    """The receiver asked to get nothing before then (`Retry-After`)."""
    created_at: Mapped[float] = mapped_column(Float)


class DeliveryRow(Base):
    """The outbox: one message for one receiver, kept until it was delivered or given up."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("deliveries_due", "state", "next_attempt_at"),
        Index("deliveries_of_receiver", "receiver_id", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """`msg_…`, sent as webhook-id; the same at every attempt."""
    sequence: Mapped[int] = mapped_column(BigInteger)
    """Orders a receiver's messages of one stream as they were made or replayed (nanoseconds since
    1970)."""
    receiver_id: Mapped[str] = mapped_column(ForeignKey("receivers.id", ondelete="CASCADE"))
    stream_id: Mapped[str] = mapped_column(String(32))
    event_type: Mapped[str] = mapped_column(String(50))
    event_id: Mapped[str | None] = mapped_column(String(32))
    """The event that it is about, whose picture some kinds of receivers show."""
    body: Mapped[str] = mapped_column(Text)
    """The exact JSON that is signed and sent."""
    state: Mapped[str] = mapped_column(String(16))
    """`waiting`, `delivered` or `dead`."""
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    """All that were begun. It only rises, so that no two claims of a message have the same."""
    attempts_before: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """Those of them that came before the last replay."""
    next_attempt_at: Mapped[float] = mapped_column(Float)
    created_at: Mapped[float] = mapped_column(Float)
    replayed_at: Mapped[float | None] = mapped_column(Float)
    """When it was last replayed."""
    delivered_at: Mapped[float | None] = mapped_column(Float)
    last_status: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str | None] = mapped_column(Text)


class AttemptRow(Base):
    """One attempt to deliver a message, written as it begins; the newest of a message are kept."""

    __tablename__ = "delivery_attempts"
    __table_args__ = (Index("attempts_of_delivery", "delivery_id", "id"),)

    id: Mapped[RisingId]
    delivery_id: Mapped[str] = mapped_column(ForeignKey("deliveries.id", ondelete="CASCADE"))
    at: Mapped[float] = mapped_column(Float)
    took_s: Mapped[float] = mapped_column(Float)
    status: Mapped[int | None] = mapped_column(Integer)
    answer: Mapped[str | None] = mapped_column(Text)
    """The first bytes of the answer's body, as text."""
    error: Mapped[str | None] = mapped_column(Text)
