"""Learnings: what starts one, and how one is doing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from model.footage.locations import redact_text, redact_url
from service.api.schemas.copied_fields import copy_fields
from service.api.times import TimeOut
from service.learning_messages import LEAST_S, CheckSummary, FootageSummary, LearningState
from service.store.tables import LearningRow

Activate = Literal["if_better", "always", "never"]
"""Whether a new model goes live: if its check passed, in any case, or only by hand."""
LearningPreset = Literal["fast", "small", "medium", "tiny"]
"""Network sizes of `model.training.trainer.PRESETS`."""
VideoSource = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
MOST_SOURCES = 100


class LearningIn(BaseModel):
    """What to learn from, and how."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [
                {"seconds": 1200},
                {"sources": ["/media/monday.mp4", "/media/tuesday.mp4"], "activate": "always"},
            ]
        },
    )

    seconds: float = Field(
        600.0,
        ge=LEAST_S,
        le=86_400,
        description="Seconds of normal footage to collect of a camera; of videos, the most to use.",
    )
    sources: list[VideoSource] | None = Field(
        None,
        min_length=1,
        max_length=MOST_SOURCES,
        description="Videos or folders to learn from, or one URL. Null is the stream's own source.",
    )
    fps: float | None = Field(
        None,
        ge=0.1,
        le=60,
        description="Frames a second to learn. Null takes the stream's, or 10.",
    )
    preset: LearningPreset = Field("fast", description="The size of the network.")
    flip: bool = Field(False, description="Also learn each frame mirrored.")
    epochs: int | None = Field(
        None, ge=1, le=1000, description="Passes over the footage. Null takes the preset's."
    )
    start: str = Field(
        "auto",
        min_length=1,
        max_length=200,
        description="The weights to begin with: `auto` for an included model's, `none` for random "
        "ones, or a model's name.",
    )
    train_anyway: bool = Field(
        False, description="Train even if the footage is judged to be too little."
    )
    activate: Activate = Field(
        "if_better",
        description="`if_better` puts the model live if its check passed, also against the one in "
        "use; `always` in any case; `never` leaves that to you.",
    )


class LearningRequestOut(BaseModel):
    """What was asked for."""

    seconds: float
    sources: list[str] | None
    """They are without credentials."""
    fps: float
    preset: str
    flip: bool
    epochs: int | None
    start: str
    train_anyway: bool
    activate: Activate


class LearningOut(BaseModel):
    """A learning, and how it is doing."""

    id: str
    stream_id: str
    state: LearningState
    reason: str
    progress: float
    """Of the present state, 0 to 1."""
    remaining_s: float | None
    """Seconds that are left of the present state, if known."""
    loss: float | None
    footage: FootageSummary | None
    check: CheckSummary | None
    pictures: list[str]
    """Names of the pictures of the report."""
    model: str | None
    """The model's name; null while there is none, or none any more."""
    is_in_use: bool
    """Whether the stream uses the model now."""
    learner: str
    request: LearningRequestOut
    created_at: TimeOut
    finished_at: TimeOut | None
    """Null while it is under way."""


class LearningsOut(BaseModel):
    """A stream's learnings, the newest first."""

    items: list[LearningOut]


def describe_learning_row(
    row: LearningRow, *, has_model: bool, pictures: list[str], stream_model: str | None
) -> LearningOut:
    """Return the answer about a row.

    Args:
        has_model: whether its model is in the models folder.
        pictures: names of the report's pictures.
        stream_model: the model that its stream uses.
    """
    sources = None if row.sources is None else [redact_url(source) for source in row.sources]
    return copy_fields(
        LearningOut,
        row,
        reason=redact_text(row.reason),
        footage=row.footage,
        check=row.check_summary,
        pictures=pictures,
        model=row.bundle if has_model else None,
        is_in_use=stream_model == row.bundle,
        request=copy_fields(LearningRequestOut, row, sources=sources),
    )
