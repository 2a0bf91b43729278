"""What crosses Redis between the front end and the workers, as named types.

Times are seconds since 1970 (UTC) as floats; frames are numbered from 0, per stream, never reused.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from model.scoring.cause import Cause
from service.stream_choices import Decode, Transport, ZoneKind

UPLOAD = "upload"
"""The source of a stream whose pictures are uploaded."""


class StreamState(StrEnum):
    """The states in a stream's life."""

    PENDING = "pending"
    """Registered; no worker owns it yet."""
    CONNECTING = "connecting"
    WARMING = "warming"
    """Frames come, but there are too few yet, or there is no normal range: no score, no alert."""
    LIVE = "live"
    LEARNING = "learning"
    """It has no model yet: its picture is shown. No score, no alert."""
    MISFIT = "misfit"
    """Scores come, but nearly all are abnormal from the first: the model doesn't know the camera.
    No alert."""
    STALLED = "stalled"
    """Connected, but no picture has come for a while."""
    FROZEN = "frozen"
    """Pictures come, but it is the same one again and again, or time stands still in them."""
    OBSCURED = "obscured"
    """The picture as a whole doesn't fit the scene any more: the camera was covered or turned."""
    DOWN = "down"
    """The source can't be read now; it is tried again."""
    ENDED = "ended"
    """A file or folder that was played to its end."""
    PAUSED = "paused"
    FAILED = "failed"
    """It can't work as configured (no such model, say); it waits for a change."""


MODEL_LOADING = "the model is loading"
"""Why a stream is connecting while its owner gets ready."""
PAUSED = "somebody paused it, on the page or by the API"
"""Why a paused stream has no scores."""
NOT_TAKEN = "no worker has taken it yet"
"""Why a stream is pending."""
NO_MODEL = "it has no model yet: let it learn, or choose one"
"""Why a stream is learning."""


class DropReason(StrEnum):
    """Why a captured frame got no score."""

    CAPTURE_RING = "capture_ring"
    """The worker stood still for so long that waiting frames went, the oldest first."""
    UNREADABLE = "unreadable"
    """An uploaded picture or a decoded frame couldn't be used."""
    STALE_OWNER = "stale_owner"
    """Another worker had taken the camera over."""
    FAULT = "fault"
    """Inference failed for the frame."""
    BACKLOG = "backlog"
    """Scores waited too long for the recorder and the oldest went."""
    OVERLOAD = "overload"
    """There was no time to score the frame; it was appended as one that the next follow from."""
    FROZEN = "frozen"
    """It was the same picture as those before it, of a frozen camera."""
    CLOSED = "closed"
    """Its source was closed before its turn: paused, changed, or handed to another worker."""
    NO_MODEL = "no_model"
    """The stream has no model yet: the frame was only displayed."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Zone(_Message):
    """A part of the picture. Points are shares of width and height, from the left and the top."""

    kind: ZoneKind
    points: tuple[tuple[float, float], ...] = Field(min_length=3, max_length=50)


class StreamConfig(_Message):
    """All that a worker must know to run a camera."""

    id: str
    revision: int
    """Rises with every change."""
    source: str
    """A URL with its credentials, `upload`, or an absolute path."""
    model: str | None = None
    """A bundle's name or path; None: it has none yet, and is shown, but not scored."""
    gamma: float | None = None
    memory_rule: str | None = None
    """The rule of `UPDATE_RULES` by which the memory learns; None takes the worker's."""
    appearance_weight: float | None = None
    threshold: float | None = None
    fps: float | None = None
    """Target frame rate; None takes the rate that the model was trained at, if known."""
    weight: float = Field(1.0, gt=0)
    """Of its share of an overloaded worker."""
    loop: bool = False
    """Play a file or folder again when it ends."""
    paused: bool = False
    transport: Transport = "tcp"
    """RTSP's lower transport."""
    decode: Decode = "all"
    """Which pictures of the video are decoded."""
    zones: tuple[Zone, ...] = ()
    """What counts of the picture: the zones to watch, or all of it where there are none, without
    those to ignore. Zones of the kind `standing` say where to watch for what stands still."""
    standing_s: float | None = Field(None, gt=0)
    """What is new and stands still for so long is reported; None: only in zones of that kind."""
    last_frame: int = -1
    """Newest frame in the database when this was published; numbering never goes back behind it."""


class FrameScore(_Message):
    """One frame's result. The measures are None while the stream is warming."""

    frame: int = Field(ge=0, lt=2**63)
    epoch: int = Field(ge=0, lt=2**31)
    captured_at: float
    scored_at: float
    psnr: float | None = None
    distance: float | None = None
    gate_error: float | None = None
    score: float | None = None
    standing: float | None = None
    """How much of the dwell time something new has stood still; None: it isn't watched for."""
    cause: Cause = Cause.MOTION
    """The part of the score that was the highest."""
    threshold: float | None = None
    memory_updated: bool = False
    state: StreamState = StreamState.LIVE
    region: tuple[float, float, float, float] | None = None
    """Where the error was largest: left, top, right, bottom, as shares of the picture."""
    cut: bool = False
    """The frame begins a new run: it doesn't follow the one whose score was sent before."""


class UploadedFrame(_Message):
    """An uploaded picture as it waits in Redis; its bytes are next to it in the field `image`."""

    frame: int
    captured_at: float
    cut: bool = False
    """The frame doesn't follow the one before it (the first of a video file)."""


class StreamStatus(_Message):
    """How a stream is doing, from its owner."""

    state: StreamState
    reason: str = ""
    since: float
    worker: str = ""
    epoch: int = 0
    model: str | None = None
    """The bundle that scores its frames now; None: none does. It differs from the configured one
    while that one is loading, or can't be loaded."""
    captured: int = 0
    scored: int = 0
    still: int = 0
    """Scored frames that took over the measures of the frame before, whose picture they show."""
    computed: float = 0.0
    """Pictures that the network ran for; of those that it ran for in part, their shares."""
    dropped: dict[DropReason, int] = Field(default_factory=dict)
    waiting: int = 0
    """Captured frames that are on their way: captured = scored + dropped + waiting."""
    fps: float = 0.0
    """Frames scored a second, over the last few seconds."""
    frame_age_s: float | None = None
    """Score time less capture time of the newest scored frame."""
    frame_age_p50_s: float | None = None
    """Over the last half minute, as is the next."""
    frame_age_p99_s: float | None = None
    target_fps: float | None = None
    """Frames a second that would be scored if the worker had the time; None: as many as come."""
    degraded: bool = False
    """There was no time for some frames of the last few seconds."""
    weight: float = 1.0
    share: float = 0.0
    """Of the frames that its worker scored over the last few seconds, 0 to 1."""
    reconnects: int = 0
    updated_at: float = 0.0


class NoteKind(StrEnum):
    """The kinds of entries in a stream's log."""

    STATE = "state"
    """The stream's state is another one now."""
    SCENE_CHANGED = "scene.changed"
    """The light changed as a whole: the stream warms up again, and no event is made of it."""
    MODEL_CHANGED = "model.changed"
    """Another model scores the stream from now on, or one can't: the reason says which."""


class StreamNote(_Message):
    """An entry of a stream's log, from its owner."""

    kind: NoteKind
    at: float
    state: StreamState
    """The state from then on."""
    reason: str = ""
    """One sentence, without credentials."""
    worker: str = ""
    epoch: int = Field(ge=0, lt=2**31)


class RequestedEvent(_Message):
    """An event of which the front end requests pictures."""

    event_id: str
    first_frame: int
    """Where the event starts."""
    after_frame: int = -1
    """The pictures up to this frame have come."""
    clip: bool = True
    """Whether all pictures are requested, or only the peak's."""
    peak_above: float | None = None
    """The peak's picture is requested if its score is above this; None: in any case."""


class ShotRequest(_Message):
    """The front end's request for pictures of one camera."""

    before_s: float = Field(ge=0)
    """Seconds before an event starts whose pictures are requested too."""
    events: tuple[RequestedEvent, ...] = Field(max_length=8)


class Shot(_Message):
    """A picture for an event; the picture and its heat map are sent with it."""

    event_id: str
    frame: int
    captured_at: float
    score: float | None = None
    peak: bool = False
    """It is the one with the highest score so far, and not one of the clip's."""


class WorkerStatus(_Message):
    """A worker's heartbeat."""

    id: str
    started_at: float
    seen_at: float
    streams: int
    capacity: int = 64
    """Cameras that it takes at most; its weight when cameras are shared out."""
    device: str
    models: list[str] = Field(default_factory=list)
    engines: dict[str, str] = Field(default_factory=dict)
    """What runs each model."""
    batches: int = 0
    frames: int = 0
    inference_s: float = 0.0
    """Seconds spent in the detector since start."""
    cpu_s: dict[str, float] = Field(default_factory=dict)
    """CPU seconds of the process since start, by `model.stages.Stage`; they add up to all of it."""
    takeovers: int = 0
    """Cameras taken that another worker had a moment before."""
    handovers: int = 0
    """Cameras given to another worker in order."""
    dropped_previews: int = 0
    """Pictures that were replaced by newer ones before they could be sent."""
    dropped_notes: int = 0
    """Entries of streams' logs that waited too long for Redis."""
