"""Event-level figures: which labelled events raise an alarm, how soon, and how many are false.

The alarms are those of the service: `model.events` with its rules makes them from the scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from model.evaluation.accuracy import Labels, Scores
from model.events import Detection, EventRules, ScoredFrame, close, observe_all

RECALLS = (0.90, 0.95, 1.0)

TOLERANCE_S = 1.0
"""An alarm so long before or after a labelled event isn't false: labels are drawn by hand."""

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Alarm:
    """One event of the service, in frames of its clip, both ends included."""

    first_frame: int
    raised_frame: int
    """The frame at which it had lasted long enough: here the alert goes out."""
    last_frame: int


@dataclass(frozen=True, slots=True)
class LabelledEvent:
    """A run of abnormal frames, and what became of it."""

    clip: int
    start: int
    stop: int
    """One after the last frame."""
    delay_s: float | None
    """From the onset to the alert, 0 where an alarm was on already; None: it was missed."""


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """What alarms at one threshold amount to."""

    events: tuple[LabelledEvent, ...]
    false_events: int
    normal_hours: float
    """Scored time in which an alarm would have been false."""

    @property
    def labelled(self) -> int:
        """Labelled events with at least one scored frame."""
        return len(self.events)

    @property
    def found(self) -> int:
        """Labelled events that an alarm overlaps."""
        return len(self.delays_s)

    @property
    def delays_s(self) -> tuple[float, ...]:
        """Of the events found, in order."""
        return tuple(event.delay_s for event in self.events if event.delay_s is not None)

    @property
    def median_delay_s(self) -> float | None:
        """Over the events found."""
        return float(np.median(self.delays_s)) if self.events and self.found else None

    @property
    def false_rate(self) -> FalseRate | None:
        """None where there is no normal footage."""
        return false_rate(self.false_events, self.normal_hours) if self.normal_hours else None


@dataclass(frozen=True, slots=True)
class FalseRate:
    """False events an hour, and the bounds that so much footage allows."""

    per_hour: float
    low: float
    high: float
    rule_of_three: bool
    """No event was seen: `high` is 3 / hours, the one-sided 95 % bound."""


@dataclass(frozen=True, slots=True)
class AtRecall:
    """The highest threshold that finds so large a share of the labelled events."""

    recall: float
    threshold: float | None
    """None: no threshold finds so many."""
    outcome: EventOutcome | None


def false_rate(events: int, hours: float) -> FalseRate:
    """Events an hour with the exact 95 % interval of a Poisson count (Garwood, 1936).

    Without events the upper bound is the rule of three's, 3 / hours (Hanley, Lippman-Hand, 1983).
    Raises: ValueError: a negative count, or no time.
    """
    if events < 0 or not hours > 0.0:
        raise ValueError(f"needs 0 or more events in some time, got {events} in {hours} h")
    if events == 0:
        return FalseRate(0.0, 0.0, 3.0 / hours, rule_of_three=True)
    tail = (1.0 - CONFIDENCE) / 2.0
    low = float(chi2.ppf(tail, 2 * events)) / 2.0
    high = float(chi2.ppf(1.0 - tail, 2 * events + 2)) / 2.0
    return FalseRate(events / hours, low / hours, high / hours, rule_of_three=False)


def alarms(scores: Scores, threshold: float, rules: EventRules, fps: float) -> list[Alarm]:
    """The events that the service makes of one clip's scores; NaN is a frame without one.

    What is open at the clip's end ends there.
    """
    state, changes = observe_all(
        Detection(),
        (
            ScoredFrame(index, index / fps, index / fps, _known(score), threshold)
            for index, score in enumerate(scores.tolist())
        ),
        rules,
    )
    changes += close(state)[1]
    # Starts and ends take turns.
    return [
        Alarm(start.event.first_frame, start.event.last_frame, end.event.last_frame)
        for start, end in zip(changes[::2], changes[1::2], strict=True)
    ]


def _known(score: float) -> float | None:
    return None if math.isnan(score) else score


def spans(flags: Labels) -> list[tuple[int, int]]:
    """Runs of True as (first, one after the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def match(
    found: Sequence[Sequence[Alarm]],
    labels: Sequence[Labels],
    fps: float,
    *,
    scored: Sequence[Labels] | None = None,
    tolerance_s: float = TOLERANCE_S,
) -> EventOutcome:
    """Compare each clip's alarms with its labelled events.

    A labelled event is found by an alarm that overlaps it. Its onset is its first frame with a
    score, as nothing can be seen before. An alarm is false when it is *raised* further than the
    tolerance from every abnormal frame, even if it lasts into a labelled event later: otherwise
    one alarm without end would find everything, and never be false.

    Args:
        found: alarms of each clip.
        scored: frames with a score; all, unless given.
    """
    tolerance = round(tolerance_s * fps)
    events: list[LabelledEvent] = []
    false_events = normal_frames = 0
    for clip, (raised, abnormal) in enumerate(zip(found, labels, strict=True)):
        known = np.ones(len(abnormal), np.bool_) if scored is None else scored[clip]
        near = _widened(abnormal, tolerance)
        false_events += sum(not near[alarm.raised_frame] for alarm in raised)
        normal_frames += int((known & ~near).sum())
        for start, stop in spans(abnormal):
            if known[start:stop].any():
                onset = start + int(np.argmax(known[start:stop]))
                events.append(LabelledEvent(clip, start, stop, _delay_s(raised, onset, stop, fps)))
    return EventOutcome(tuple(events), false_events, normal_frames / fps / 3600.0)


def _widened(flags: Labels, frames: int) -> Labels:
    wide = flags.copy()
    for start, stop in spans(flags):
        wide[max(0, start - frames) : stop + frames] = True
    return wide


def _delay_s(raised: Sequence[Alarm], onset: int, stop: int, fps: float) -> float | None:
    overlapping = [
        max(0, alarm.raised_frame - onset)
        for alarm in raised
        if alarm.first_frame < stop and alarm.last_frame >= onset
    ]
    return min(overlapping) / fps if overlapping else None


def outcome(
    scores: Sequence[Scores],
    labels: Sequence[Labels],
    threshold: float,
    rules: EventRules,
    fps: float,
) -> EventOutcome:
    """What the service's events at this threshold amount to; each clip is a stream of its own."""
    return match(
        [alarms(clip, threshold, rules, fps) for clip in scores],
        labels,
        fps,
        scored=[~np.isnan(clip) for clip in scores],
    )


def false_events_at_recall(
    scores: Sequence[Scores],
    labels: Sequence[Labels],
    rules: EventRules,
    fps: float,
    recalls: Sequence[float] = RECALLS,
) -> list[AtRecall]:
    """False events and delays at the highest threshold that reaches each recall.

    Raises: ValueError: a recall isn't in (0, 1], or no labelled event has a scored frame.
    """
    highest = sorted(_highest_thresholds(scores, labels, rules, fps), reverse=True)
    if not highest:
        raise ValueError("the labels hold no event with a scored frame: there is no recall")
    results = []
    for recall in recalls:
        if not 0.0 < recall <= 1.0:
            raise ValueError(f"a recall must be above 0 and at most 1, got {recall!r}")
        threshold = highest[math.ceil(recall * len(highest) - 1e-9) - 1]
        if threshold == -math.inf:
            results.append(AtRecall(recall, None, None))
        else:
            reached = outcome(scores, labels, threshold, rules, fps)
            results.append(AtRecall(recall, threshold, reached))
    return results


def _highest_thresholds(
    scores: Sequence[Scores], labels: Sequence[Labels], rules: EventRules, fps: float
) -> list[float]:
    """Of each labelled event, the highest threshold that finds it; -inf: none does."""
    results: list[float] = []
    for clip, abnormal in zip(scores, labels, strict=True):
        candidates = _candidates(clip, rules)
        for start, stop in spans(abnormal):
            only = np.zeros(len(abnormal), np.bool_)
            only[start:stop] = True
            if not np.isnan(clip[only]).all():
                results.append(_highest(clip, only, candidates, rules, fps))
    return results


def _highest(
    clip: Scores, event: Labels, candidates: Scores, rules: EventRules, fps: float
) -> float:
    # A lower threshold opens an event no later and ends it no sooner: what is found stays found.
    low, high = -1, len(candidates) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if outcome([clip], [event], float(candidates[middle]), rules, fps).found:
            low = middle
        else:
            high = middle - 1
    return float(candidates[low]) if low >= 0 else -math.inf


def _candidates(clip: Scores, rules: EventRules) -> Scores:
    """Thresholds at which anything changes, rising: those that a score just reaches, itself or by
    the release."""
    known = clip[~np.isnan(clip)]
    # Rounding must not lift release x threshold above the score.
    released = known[known > 0.0] / rules.release * (1.0 - 1e-12)
    return np.unique(np.concatenate((known, released)))
