"""What crosses Redis between the front end and learners: jobs, and how they are doing.

A *learning* trains a model for one stream: a learner collects normal footage of its camera, trains,
calibrates and checks a bundle. The front end then puts it live. The database is the truth about
learnings; Redis carries them.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from service.stream_choices import Decode, Transport


class LearningState(StrEnum):
    """The states in a learning's life."""

    WAITING = "waiting"
    """No learner has taken it yet."""
    COLLECTING = "collecting"
    """Normal footage is recorded, or read from videos."""
    QUEUED = "queued"
    """There is enough footage; another learning is in training on this machine."""
    TRAINING = "training"
    CHECKING = "checking"
    """γ, ranges and threshold are measured, then what the model would find and miss."""
    READY = "ready"
    """There is a model; the front end decides whether it goes live."""
    LIVE = "live"
    """The stream uses the model, or used it until another replaced it."""
    REJECTED = "rejected"
    """The check says that the model isn't good enough; it can be put live all the same."""
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset(
    {LearningState.LIVE, LearningState.REJECTED, LearningState.FAILED, LearningState.CANCELLED}
)
"""Nothing happens in these any more, unless somebody puts a rejected model live."""

LEAST_S = 16.0
"""Less footage than this many seconds can't be asked for, nor trained on at once."""
LEAST_FRAMES = 60
"""Nor fewer frames."""

DONE = FINAL | {LearningState.READY}
"""Nothing is left for a learner to do in these."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class LearningJob(_Message):
    """A learning as the front end wants it. It holds credentials, as `StreamConfig` does."""

    id: str
    stream_id: str
    bundle: str
    """Name that the bundle gets, in the folder of the user's models."""
    sources: tuple[str, ...]
    """The stream's own source, or videos: URLs with credentials, or absolute paths."""
    transport: Transport = "tcp"
    decode: Decode = "all"
    fps: float
    """Frames a second to collect and to train at."""
    seconds: float
    """Seconds of footage to collect of a camera; of videos, the most to take."""
    preset: str
    flip: bool = False
    epochs: int | None = None
    """None takes the preset's."""
    start: str = "auto"
    """The weights to begin with: `auto` for an included bundle's, `none` for random ones, or a
    bundle's name."""
    current_model: str | None = None
    """The bundle that the stream uses; the new one is compared with it."""
    train_anyway: bool = False
    """Train even if the footage is judged to be too little."""
    train_now: bool = False
    """Don't wait for `seconds`: train with what there is."""
    is_cancelled: bool = False
    created_at: float


class SkippedStretch(_Message):
    """A stretch of the footage that isn't learned."""

    start_s: float
    end_s: float
    reason: str
    """`dead`, `covered`, `light`, or `unusual`."""


class FootageSummary(_Message):
    """What was collected, and whether it is enough."""

    seconds: float = 0.0
    used_s: float = 0.0
    """Seconds without what was left out."""
    moving_share: float = 0.0
    """Share of the time in which something moved."""
    covered: tuple[tuple[float, ...], ...] = ()
    """Rows of cells of the picture, from the top left: how often something moved there, 0 to 1."""
    left_out: tuple[SkippedStretch, ...] = ()
    is_enough: bool = False
    advice: str = ""
    """One sentence for the owner: what is missing, or that it is enough."""


class CheckedKind(_Message):
    """What the model makes of one kind of synthetic anomaly."""

    model_config = ConfigDict(allow_inf_nan=False)

    kind: str = Field(max_length=100)
    auc: float
    found: int
    scenes: int


class CheckSummary(_Message):
    """What the check expects of a model, from held-out footage and synthetic anomalies in it.

    AUCs are from 0 to 1, causal. Others' models bring theirs along, so it is limited.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    auc: float
    auc_low: float
    auc_high: float
    """Ends of a 95 % interval."""
    frame_difference_auc: float
    current_auc: float | None = None
    """Of the model in use, on the same scenes; None: there is none, or it doesn't fit."""
    found: int
    scenes: int
    delay_s: float | None = None
    """Median seconds from the beginning of an anomaly to its event."""
    false_events: int
    normal_s: float
    """Seconds of held-out normal footage in which false events were counted."""
    false_events_per_day_high: float
    """Upper end of a 95 % interval."""
    kinds: tuple[CheckedKind, ...] = Field((), max_length=100)
    is_passed: bool
    verdict: str = Field(max_length=500)
    """One sentence for the owner."""


class LearningStatus(_Message):
    """How a learning is doing, from its learner."""

    id: str
    state: LearningState
    reason: str = ""
    """One sentence, without credentials."""
    learner: str = ""
    progress: float = Field(0.0, ge=0, le=1)
    """Of the present state."""
    remaining_s: float | None = None
    """Seconds that are left of the present state, if known."""
    loss: float | None = None
    footage: FootageSummary | None = None
    check: CheckSummary | None = None
    updated_at: float
