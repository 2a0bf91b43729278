"""The event machine of `model.events` as the recorder runs it: its rules, its input, its state.

The state travels with the recorder's cursor, as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter

from model.events import Detection, EventRules, ScoredFrame
from service.messages import FrameScore, StreamState
from service.record.schedules import Schedule
from service.settings import Settings


def rules(settings: Settings) -> EventRules:
    """The rules that the operator set."""
    return EventRules(
        min_frames=settings.event_min_frames,
        release=settings.event_release,
        quiet_frames=settings.event_quiet_frames,
        silence_s=settings.event_silence_s,
        merge_s=settings.event_merge_s,
    )


def scored_frame(score: FrameScore, schedule: Schedule | None = None) -> ScoredFrame:
    """A worker's score as the machine takes it; one of a stream that isn't live counts as none.

    The schedule says whether the stream was armed when the frame was captured; None: always.
    """
    return ScoredFrame(
        frame=score.frame,
        captured_at=score.captured_at,
        scored_at=score.scored_at,
        score=score.score if score.state is StreamState.LIVE else None,
        threshold=score.threshold,
        region=score.region,
        armed=schedule is None or schedule.is_armed(score.captured_at),
    )


_ADAPTER = TypeAdapter(Detection)


def to_json(state: Detection) -> dict[str, object]:
    """The state as plain JSON values."""
    plain: dict[str, object] = _ADAPTER.dump_python(state, mode="json")
    return plain


def from_json(plain: Mapping[str, object]) -> Detection:
    """The state that `to_json` gave; nothing yet for an empty mapping.

    Raises: ValueError: it isn't such a state.
    """
    return _ADAPTER.validate_python(dict(plain))
