"""Scores, as they are read."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel

from service.api.times import TimeOut
from service.messages import StreamState
from service.store.tables import ScoreRow


class ScoresFormat(StrEnum):
    """How a page of scores is written."""

    JSON = "json"
    CSV = "csv"


class ScoreOut(BaseModel):
    """One frame's score. The measures are null while the stream is warming."""

    frame: int
    captured_at: TimeOut
    scored_at: TimeOut
    psnr: float | None
    distance: float | None
    gate_error: float | None
    score: float | None
    threshold: float | None
    memory_updated: bool
    state: StreamState


class ScoresOut(BaseModel):
    """A page of scores, in the order of their frames."""

    items: list[ScoreOut]
    next: int | None
    """Give it as `after` to get the next page; null when this is the last."""


def score_out(row: ScoreRow) -> ScoreOut:
    """A row, as it is shown."""
    return ScoreOut(
        frame=row.frame,
        captured_at=row.captured_at,
        scored_at=row.scored_at,
        psnr=row.psnr,
        distance=row.distance,
        gate_error=row.gate_error,
        score=row.score,
        threshold=row.threshold,
        memory_updated=row.memory_updated,
        state=StreamState(row.state),
    )
