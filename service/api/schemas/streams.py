"""Streams: what registers one, and how one is doing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)

from service.api.schemas.zones import ZoneOut, Zones
from service.api.shown import shown_url
from service.api.times import TimeOut
from service.messages import DropReason, StreamState, StreamStatus
from service.record.journal import LogKind
from service.record.schedules import Schedule, is_armed, schedule_of
from service.store.tables import StreamLogRow, StreamRow


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not hold control characters")
    return text


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_printable),
]
Source = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Gamma = Annotated[
    float | None,
    Field(
        ge=0,
        allow_inf_nan=False,
        description="γ: frames whose error is at or above it leave the memory as it is. "
        "Null takes the model's.",
    ),
]
MemoryRule = Annotated[
    Literal["paper", "reference", "bounded", "pulled", "rollback", "held", "frozen", "off"] | None,
    Field(
        description="How the memory learns from frames below γ (docs/memory.md). `held` keeps what "
        "it has learned, `frozen` goes back to what it was trained with. Null takes "
        "NORMWATCH_MEMORY_RULE.",
    ),
]
AppearanceWeight = Annotated[
    float | None,
    Field(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="λ: the share of the prediction error in the score. Null takes the model's.",
    ),
]
Threshold = Annotated[
    float | None,
    Field(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Scores at or above it are abnormal. Null takes the one that was found from "
        "the stream's own normal footage, or the model's while there is none.",
    ),
]
FalseAlarms = Annotated[
    float | None,
    Field(
        ge=0.001,
        le=1000,
        allow_inf_nan=False,
        description="False alarms a day that it may raise: the threshold is made to keep that, "
        "from its own normal footage. Null takes NORMWATCH_FALSE_ALARMS_PER_DAY.",
    ),
]
Fps = Annotated[
    float | None,
    Field(
        gt=0,
        le=240,
        allow_inf_nan=False,
        description="Frames a second to look at. Null takes the rate that the model was trained "
        "at, where it is known.",
    ),
]
Weight = Annotated[
    float,
    Field(
        ge=0.01,
        le=100,
        allow_inf_nan=False,
        description="While a worker can't score all frames of its streams, they get frames scored "
        "in proportion to their weights.",
    ),
]
Transport = Annotated[
    Literal["tcp", "udp"],
    Field(
        description="How an RTSP camera sends: TCP loses nothing, UDP suits cameras that offer "
        "nothing else."
    ),
]
Decode = Annotated[
    Literal["all", "keyframes"],
    Field(
        description="`keyframes` decodes only the pictures that stand by themselves: a fraction of "
        "the cost, and of the frame rate. For models that were trained at such a rate."
    ),
]
WebhookIds = Annotated[
    list[str] | None,
    Field(
        max_length=100,
        description="The webhooks that hear of this stream. Null is all of them, [] is none.",
    ),
]

ArmedHours = Annotated[
    Schedule | None,
    Field(
        description="When it is armed. Outside these hours scores are recorded, and no events. "
        "Null is always."
    ),
]
Cooldown = Annotated[
    float | None,
    Field(
        ge=0,
        le=86_400,
        allow_inf_nan=False,
        description="Seconds after a message on an event's start in which nobody is told of "
        "events that start. Null takes NORMWATCH_EVENT_COOLDOWN_S.",
    ),
]


class StreamIn(BaseModel):
    """A camera to watch."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "name": "North gate",
                    "source": "rtsp://viewer:secret@192.0.2.10:554/stream1",
                    "model": "demo",
                },
                {"name": "Uploads from the yard", "source": "upload", "threshold": 0.6},
            ]
        },
    )

    name: Name
    source: Source = Field(
        description="A URL (rtsp, rtsps, rtmp, http, https), `upload`, or a path in a folder that "
        "the operator named in NORMWATCH_MEDIA_DIRS."
    )
    model: ModelName | None = Field(
        None, description="A model's name. Null takes the default, or your own if there is one."
    )
    gamma: Gamma = None
    memory_rule: MemoryRule = None
    appearance_weight: AppearanceWeight = None
    threshold: Threshold = None
    false_alarms_per_day: FalseAlarms = None
    fps: Fps = None
    weight: Weight = 1.0
    loop: bool = Field(False, description="Play a file or folder again when it ends.")
    transport: Transport = "tcp"
    decode: Decode = "all"
    zones: Zones = None
    webhook_ids: WebhookIds = None
    schedule: ArmedHours = None
    cooldown_s: Cooldown = None


class StreamPatch(BaseModel):
    """Changes to a stream. What is left out stays; null takes an override back."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"threshold": 0.7, "gamma": None}, {"paused": True}]},
    )

    name: Name | None = None
    source: Source | None = None
    model: ModelName | None = None
    gamma: Gamma = None
    memory_rule: MemoryRule = None
    appearance_weight: AppearanceWeight = None
    threshold: Threshold = None
    false_alarms_per_day: FalseAlarms = None
    fps: Fps = None
    weight: Weight | None = None
    loop: bool | None = None
    paused: bool | None = None
    transport: Transport | None = None
    decode: Decode | None = None
    zones: Zones = None
    webhook_ids: WebhookIds = None
    schedule: ArmedHours = None
    cooldown_s: Cooldown = None

    @field_validator(
        "name", "source", "weight", "loop", "paused", "transport", "decode", mode="before"
    )
    @classmethod
    def _given(cls, value: object) -> object:
        if value is None:
            raise ValueError("must not be null")
        return value


class StatusOut(BaseModel):
    """How a stream is doing."""

    state: StreamState
    reason: str
    since: TimeOut | None
    threshold: float | None
    """In force: the stream's own, the calibrated one, or its model's."""
    fps: float
    """Frames scored a second, of late."""
    target_fps: float | None
    """Frames a second that would be scored if the worker had the time; null: as many as come."""
    degraded: bool
    """There was no time for some frames of the last few seconds."""
    weight: float
    """As its worker knows it."""
    share: float
    """Of the frames that its worker scored of late, 0 to 1."""
    frame_age_s: float | None
    """From capture to score, of the newest scored frame."""
    frame_age_p50_s: float | None
    """Of the last half minute, as is the next."""
    frame_age_p99_s: float | None
    captured: int
    scored: int
    dropped: dict[DropReason, int]
    reconnects: int
    worker: str
    updated_at: TimeOut | None


class StreamOut(BaseModel):
    """A registered stream."""

    id: str
    name: str
    source: str
    """Without credentials."""
    model: str
    gamma: float | None
    memory_rule: str | None
    appearance_weight: float | None
    threshold: float | None
    false_alarms_per_day: float | None
    fps: float | None
    weight: float
    loop: bool
    paused: bool
    transport: Transport
    decode: Decode
    zones: list[ZoneOut] | None
    """Null: the whole picture counts."""
    webhook_ids: list[str] | None
    schedule: Schedule | None
    armed: bool
    """Whether it is now, by its schedule."""
    cooldown_s: float | None
    revision: int
    created_at: TimeOut
    status: StatusOut


class LogEntryOut(BaseModel):
    """An entry of a stream's log."""

    id: int
    kind: LogKind
    at: TimeOut
    state: StreamState
    """From then on."""
    reason: str
    worker: str
    """Who told of it; empty for what the front end found."""


class StreamLogOut(BaseModel):
    """A page of a stream's log, the newest first."""

    items: list[LogEntryOut]
    next: int | None
    """Give it as `before` to get the next page; null when this is the last."""


class StreamsOut(BaseModel):
    """All streams, the oldest first."""

    items: list[StreamOut]


def status_out(status: StreamStatus, threshold: float | None) -> StatusOut:
    """A worker's word, as it is shown."""
    return StatusOut(
        state=status.state,
        reason=shown_url(status.reason),
        since=status.since or None,
        threshold=threshold,
        fps=round(status.fps, 3),
        target_fps=status.target_fps,
        degraded=status.degraded,
        weight=status.weight,
        share=round(status.share, 4),
        frame_age_s=status.frame_age_s,
        frame_age_p50_s=status.frame_age_p50_s,
        frame_age_p99_s=status.frame_age_p99_s,
        captured=status.captured,
        scored=status.scored,
        dropped=status.dropped,
        reconnects=status.reconnects,
        worker=status.worker,
        updated_at=status.updated_at or None,
    )


def stream_out(row: StreamRow, status: StatusOut, now: float) -> StreamOut:
    """A row, as it is shown at this time."""
    return StreamOut(
        id=row.id,
        name=row.name,
        source=shown_url(row.source),
        model=row.model,
        gamma=row.gamma,
        memory_rule=row.memory_rule,
        appearance_weight=row.appearance_weight,
        threshold=row.threshold,
        false_alarms_per_day=row.false_alarms_per_day,
        fps=row.fps,
        weight=row.weight,
        loop=row.loop,
        paused=row.paused,
        transport=row.transport,
        decode=row.decode,
        zones=None if row.zones is None else [ZoneOut.model_validate(z) for z in row.zones],
        webhook_ids=row.webhook_ids,
        schedule=schedule_of(row.schedule),
        armed=is_armed(row.schedule, now),
        cooldown_s=row.cooldown_s,
        revision=row.revision,
        created_at=row.created_at,
        status=status,
    )


def log_entry_out(row: StreamLogRow) -> LogEntryOut:
    """A row, as it is shown."""
    return LogEntryOut(
        id=row.id,
        kind=LogKind(row.kind),
        at=row.at,
        state=StreamState(row.state),
        reason=shown_url(row.reason),
        worker=row.worker,
    )
