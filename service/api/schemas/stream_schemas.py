"""Streams: what registers one, and how one is doing. `StreamSettings` holds what users set."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)

from model.footage.locations import redact_text, redact_url
from model.standing.rules import DWELL_S, MOST_DWELL_S
from service.api.schemas.copied_fields import copy_fields
from service.api.schemas.learning_schemas import LearningOut
from service.api.schemas.zone_schemas import ZoneOut, Zones
from service.api.times import TimeOut
from service.characters import refuse_controls
from service.messages import DropReason, StreamState, StreamStatus
from service.record.schedules import Schedule, is_armed, read_schedule
from service.record.stream_log import LogKind
from service.store.tables import StreamLogRow, StreamRow
from service.stream_choices import Decode, MemoryRule, Transport

Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(refuse_controls),
]
Source = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class StreamSettings(BaseModel):
    """What a user sets of a stream, next to its name, source and model.

    Each is a column of `StreamRow` under the same name.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    gamma: float | None = Field(
        None,
        ge=0,
        description="γ: frames whose error is at or above it leave the memory as it is. "
        "Null takes the model's.",
    )
    memory_rule: MemoryRule | None = Field(
        None,
        description="How the memory learns from frames below γ (docs/memory.md). `held` keeps what "
        "it has learned, `frozen` goes back to what it was trained with. Null takes "
        "NORMWATCH_MEMORY_RULE.",
    )
    appearance_weight: float | None = Field(
        None,
        ge=0,
        le=1,
        description="λ: the share of the prediction error in the score. Null takes the model's.",
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Scores at or above it are abnormal. Null takes the one that was found from "
        "the stream's own normal footage, or the model's while there is none.",
    )
    false_alarms_per_day: float | None = Field(
        None,
        ge=0.001,
        le=1000,
        description="False alarms a day that the stream may raise: its threshold is calibrated "
        "to keep that, on its own normal footage. Null takes NORMWATCH_FALSE_ALARMS_PER_DAY.",
    )
    fps: float | None = Field(
        None,
        gt=0,
        le=240,
        description="Frames a second to score. Null takes the rate that the model was trained "
        "at, where it is known.",
    )
    weight: float = Field(
        1.0,
        ge=0.01,
        le=100,
        description="While a worker can't score all frames of its streams, they get frames scored "
        "in proportion to their weights.",
    )
    loop: bool = Field(False, description="Play a file or folder again when it ends.")
    transport: Transport = Field(
        "tcp",
        description="How an RTSP camera sends: TCP loses nothing, UDP suits cameras that offer "
        "nothing else.",
    )
    decode: Decode = Field(
        "all",
        description="`keyframes` decodes only the pictures that stand by themselves: a fraction of "
        "the cost, and of the frame rate. It suits models that were trained at such a rate.",
    )
    receiver_ids: list[str] | None = Field(
        None,
        max_length=100,
        description="The receivers that are notified of this stream. Null is all of them, [] none.",
    )
    schedule: Schedule | None = Field(
        None,
        description="When the stream is armed. Outside these hours scores are recorded, and no "
        "events. Null is always.",
    )
    standing_s: float | None = Field(
        None,
        ge=1,
        le=MOST_DWELL_S,
        allow_inf_nan=False,
        description="Also report what is new and stands still for so many seconds, and until it "
        "has been there for half an hour (docs/standing.md). Null reports it only in zones of the "
        f"kind `standing`, after {DWELL_S:g} s.",
    )
    cooldown_s: float | None = Field(
        None,
        ge=0,
        le=86_400,
        description="Seconds after a message on an event's start in which further events are "
        "muted. Null takes NORMWATCH_EVENT_COOLDOWN_S.",
    )


class _GivenSettings(StreamSettings):
    """Settings in a request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    zones: Zones = None

    def to_columns(self) -> dict[str, object]:
        """Return the values as `StreamRow` holds them."""
        columns = self.model_dump(mode="json", by_alias=True)
        return columns | {"zones": columns["zones"] or None}


class StreamIn(_GivenSettings):
    """A stream to register."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "North gate",
                    "source": "rtsp://viewer:secret@192.0.2.10:554/stream1",
                    "model": "demo",
                },
                {"name": "Uploads from the yard", "source": "upload", "threshold": 0.6},
            ]
        }
    )

    name: Name
    source: Source = Field(
        description="A URL (rtsp, rtsps, rtmp, http, https), `upload`, or a path in a folder that "
        "the operator named in NORMWATCH_MEDIA_DIRS."
    )
    model: ModelName | None = Field(
        None,
        description="A model's name. Null takes NORMWATCH_DEFAULT_MODEL, or none: the stream is "
        "shown, and not scored, until it has learned one.",
    )


def _describe_patch(schema: dict[str, Any]) -> None:
    """Leave out the defaults, as what isn't given stays, and add examples."""
    for field in schema["properties"].values():
        field.pop("default", None)
    schema["examples"] = [{"threshold": 0.7, "gamma": None}, {"paused": True}]


class StreamPatch(_GivenSettings):
    """Changes to a stream. What is left out stays; null takes an override back."""

    model_config = ConfigDict(json_schema_extra=_describe_patch)

    name: Name | None = None
    source: Source | None = None
    model: ModelName | None = None
    paused: bool | None = None

    @field_validator(
        "name", "source", "weight", "loop", "paused", "transport", "decode", mode="before"
    )
    @classmethod
    def _refuse_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("must not be null")
        return value

    def to_columns(self) -> dict[str, object]:
        """Return the values that were given, as `StreamRow` holds them."""
        columns = super().to_columns()
        return {name: columns[name] for name in self.model_fields_set}


class StatusOut(BaseModel):
    """How a stream is doing."""

    state: StreamState
    reason: str
    since: TimeOut | None
    threshold: float | None
    """In force: the stream's own, the calibrated one, or its model's."""
    fps: float
    """Frames scored a second, recently."""
    target_fps: float | None
    """Frames a second that would be scored if the worker had the time; null: as many as come."""
    degraded: bool
    """There was no time for some frames of the last few seconds."""
    weight: float
    """The weight that its worker uses."""
    share: float
    """Its share of the frames that its worker scored recently, 0 to 1."""
    frame_age_s: float | None
    """Seconds from capture to score of the newest scored frame."""
    frame_age_p50_s: float | None
    """The median of the last half minute; next to it, the 99th percentile."""
    frame_age_p99_s: float | None
    captured: int
    scored: int
    still: int
    """Scored frames that took over the measures of the frame before, whose picture they show."""
    dropped: dict[DropReason, int]
    reconnects: int
    worker: str
    updated_at: TimeOut | None


class StreamOut(StreamSettings):
    """A registered stream."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    id: str
    name: str
    source: str
    """It is without credentials."""
    model: str | None
    """Null: it has none yet, and isn't scored."""
    paused: bool
    zones: list[ZoneOut] | None
    """Null: the whole picture counts."""
    armed: bool
    """Whether the schedule arms the stream now."""
    revision: int
    created_at: TimeOut
    status: StatusOut
    learning: LearningOut | None
    """The learning that is under way."""
    warnings: list[str]
    """Sentences on settings that make scores useless."""


class LogEntryOut(BaseModel):
    """An entry of a stream's log."""

    id: int
    kind: LogKind
    at: TimeOut
    state: StreamState
    """The state from then on."""
    reason: str
    worker: str
    """The worker that reported it; empty for what the front end found."""


class StreamLogOut(BaseModel):
    """A page of a stream's log, the newest first."""

    items: list[LogEntryOut]
    next: int | None
    """Give it as `before` to get the next page; null when this is the last."""


class StreamsOut(BaseModel):
    """All streams, the oldest first."""

    items: list[StreamOut]


def describe_status(status: StreamStatus, threshold: float | None) -> StatusOut:
    """Return the answer about a worker's status."""
    return copy_fields(
        StatusOut,
        status,
        reason=redact_text(status.reason),
        since=status.since or None,
        threshold=threshold,
        fps=round(status.fps, 3),
        share=round(status.share, 4),
        updated_at=status.updated_at or None,
    )


def describe_stream(
    row: StreamRow,
    status: StatusOut,
    now: float,
    *,
    learning: LearningOut | None,
    warnings: list[str],
) -> StreamOut:
    """Return the answer about a row at this time."""
    return copy_fields(
        StreamOut,
        row,
        source=redact_url(row.source),
        schedule=read_schedule(row.schedule),
        armed=is_armed(row.schedule, now),
        status=status,
        learning=learning,
        warnings=warnings,
    )


def describe_log_entry(row: StreamLogRow) -> LogEntryOut:
    """Return the answer about a row."""
    return copy_fields(LogEntryOut, row, reason=redact_text(row.reason))
