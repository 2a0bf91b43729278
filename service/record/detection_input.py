"""`model.events.event_detection` as the recorder runs it: its rules, its input, its state.

The state is stored with the recorder's cursor, as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter

from model.events.event_detection import (
    Change,
    DetectionState,
    EventRules,
    ScoredFrame,
    observe_all,
)
from service.messages import FrameScore, StreamState
from service.record.schedules import Schedule
from service.settings import Settings


def make_rules(settings: Settings) -> EventRules:
    return EventRules(
        start_s=settings.event_start_s,
        release=settings.event_release,
        quiet_s=settings.event_quiet_s,
        silence_s=settings.event_silence_s,
        merge_s=settings.event_merge_s,
    )


def make_scored_frame(score: FrameScore, schedule: Schedule | None = None) -> ScoredFrame:
    """Turn a worker's score into the machine's input; it is None unless the stream is live.

    The schedule says whether the stream was armed when the frame was captured; None: always.
    """
    return ScoredFrame(
        frame=score.frame,
        captured_at=score.captured_at,
        scored_at=score.scored_at,
        score=score.score if score.state is StreamState.LIVE else None,
        threshold=score.threshold,
        region=score.region,
        cause=score.cause,
        cut=score.cut,
        armed=schedule is None or schedule.is_armed(score.captured_at),
    )


def observe_scores(
    state: DetectionState,
    scores: Sequence[FrameScore],
    schedule: Schedule | None,
    machine: EventRules,
) -> tuple[DetectionState, tuple[Change, ...]]:
    """Run `model.events.event_detection.observe_all` on scores as workers send them.

    Low scores while nothing rises, is open or fades change nothing but the times of the state: such
    scores at the beginning are skipped at once.
    """
    quiet = _count_quiet(scores) if _is_at_rest(state) else 0
    for score in reversed(scores[:quiet]):
        if _has_score(score) and (schedule is None or schedule.is_armed(score.captured_at)):
            state = DetectionState(scored_at=score.scored_at, captured_at=score.captured_at)
            break
    frames = [make_scored_frame(each, schedule) for each in scores[quiet:]]
    return observe_all(state, frames, machine)


def _is_at_rest(state: DetectionState) -> bool:
    return state.reported is None and state.event is None


def _count_quiet(scores: Sequence[FrameScore]) -> int:
    """Count the scores before the first that reaches its threshold."""
    for place, score in enumerate(scores):
        value, threshold = score.score, score.threshold
        if value is not None and threshold is not None and value >= threshold:
            return place
    return len(scores)


def _has_score(score: FrameScore) -> bool:
    has_both = score.score is not None and score.threshold is not None
    return has_both and score.state is StreamState.LIVE


_ADAPTER = TypeAdapter(DetectionState)


def to_json(state: DetectionState) -> dict[str, object]:
    """Return the state as plain JSON values."""
    plain: dict[str, object] = _ADAPTER.dump_python(state, mode="json")
    return plain


def from_json(plain: Mapping[str, object]) -> DetectionState:
    """Return the state that `to_json` gave, or the initial one for an empty mapping.

    Raises: ValueError: it isn't such a state.
    """
    return _ADAPTER.validate_python(dict(plain))
