"""Scores, by frame and rolled up."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel

from service.api.schemas.copied_fields import copy_fields
from service.api.times import TimeOut
from service.history.rollup_queries import Resolution, Rollup
from service.messages import StreamState
from service.store.tables import ScoreRow


class ScoresFormat(StrEnum):
    """The format of a page of scores."""

    JSON = "json"
    CSV = "csv"


class ScoresResolution(StrEnum):
    """What an item stands for, as a request names it."""

    AUTO = "auto"
    FRAME = "frame"
    SECOND = "second"
    MINUTE = "minute"


class ScoreOut(BaseModel):
    """One frame's score. The measures are null while the stream is warming."""

    frame: int
    captured_at: TimeOut
    scored_at: TimeOut
    psnr: float | None
    distance: float | None
    gate_error: float | None
    score: float | None
    standing: float | None
    """How much of the dwell time something new has stood still; null: it isn't watched for."""
    threshold: float | None
    memory_updated: bool
    state: StreamState


class ScoresOut(BaseModel):
    """A page of scores, in the order of their frames."""

    resolution: Literal[Resolution.FRAME] = Resolution.FRAME
    items: list[ScoreOut]
    next: int | None
    """Give it as `after` to get the next page; null when this is the last."""


class RollupOut(BaseModel):
    """The scores of a second or a minute; those without a value don't count."""

    at: TimeOut
    """When it begins, by capture."""
    count: int
    min: float
    mean: float
    max: float
    threshold: float | None
    """The threshold of the score that was recorded last."""


class RollupsOut(BaseModel):
    """A page of roll-ups, in the order of their times."""

    resolution: Literal[Resolution.SECOND, Resolution.MINUTE]
    items: list[RollupOut]
    next: TimeOut | None
    """Give it as `from` to get the next page, with this `resolution`; null at the end."""


def describe_rollup(rollup: Rollup) -> RollupOut:
    """Return the answer about a roll-up."""
    return copy_fields(RollupOut, rollup, min=rollup.low, max=rollup.high)


def describe_score(row: ScoreRow) -> ScoreOut:
    """Return the answer about a row."""
    return copy_fields(ScoreOut, row)
