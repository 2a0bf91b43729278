"""Event-level figures: which labelled events raise an alarm, how soon, and how many are false.

`model.events.event_detection` makes the alarms from the scores by its rules, as in the service.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from model.evaluation.accuracy import Labels, Scores
from model.events.event_detection import DetectionState, EventRules, ScoredFrame, close, observe_all

RECALLS = (0.90, 0.95, 1.0)

TOLERANCE_S = 1.0
"""An alarm this long before or after a labelled event isn't false: people draw the labels."""

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Alarm:
    """One event as the service would report it, in frames of its clip, both ends included."""

    first_frame: int
    raised_frame: int
    """The frame at which the event had lasted long enough: the alert is sent here."""
    last_frame: int


@dataclass(frozen=True, slots=True)
class LabelledEvent:
    """A run of abnormal frames, and how soon an alarm found it."""

    clip: int
    start: int
    stop: int
    """One after the last frame."""
    delay_s: float | None
    """Seconds from onset to alert, 0 if an alarm was on already; None if it was missed."""


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """The outcome of the alarms at one threshold."""

    events: tuple[LabelledEvent, ...]
    false_events: int
    normal_hours: float
    """The scored time in which an alarm would have been false."""

    @property
    def labelled(self) -> int:
        """The number of labelled events with at least one scored frame."""
        return len(self.events)

    @property
    def found(self) -> int:
        """The number of labelled events that an alarm overlaps."""
        return len(self.delays_s)

    @property
    def delays_s(self) -> tuple[float, ...]:
        """The delays of the events found, in order."""
        return tuple(event.delay_s for event in self.events if event.delay_s is not None)

    @property
    def median_delay_s(self) -> float | None:
        """The median delay of the events found."""
        return float(np.median(self.delays_s)) if self.events and self.found else None

    @property
    def false_rate(self) -> FalseRate | None:
        """The rate of false events; None if there is no normal footage."""
        return (
            estimate_false_rate(self.false_events, self.normal_hours) if self.normal_hours else None
        )


@dataclass(frozen=True, slots=True)
class FalseRate:
    """False events an hour, with the bounds that the amount of footage allows."""

    per_hour: float
    low: float
    high: float
    rule_of_three: bool
    """True if there was no event: `high` is 3 / hours, the one-sided 95 % bound."""


@dataclass(frozen=True, slots=True)
class AtRecall:
    """The highest threshold at which this share of the labelled events is found."""

    recall: float
    threshold: float | None
    """None if no threshold finds so many."""
    outcome: EventOutcome | None


def estimate_false_rate(events: int, hours: float) -> FalseRate:
    """Estimate events an hour with the exact 95 % interval of a Poisson count (Garwood, 1936).

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


def find_alarms(scores: Scores, threshold: float, rules: EventRules, fps: float) -> list[Alarm]:
    """Find the events that the service makes of one clip's scores; NaN is a frame without one.

    An event that is open at the clip's end ends there.
    """
    state, changes = observe_all(
        DetectionState(),
        (
            ScoredFrame(index, index / fps, index / fps, _to_score(score), threshold)
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


def _to_score(score: float) -> float | None:
    return None if math.isnan(score) else score


def find_runs(flags: Labels) -> list[tuple[int, int]]:
    """Return the runs of True as (first, one after the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def match_alarms(
    found: Sequence[Sequence[Alarm]],
    labels: Sequence[Labels],
    fps: float,
    *,
    scored: Sequence[Labels] | None = None,
    tolerance_s: float = TOLERANCE_S,
) -> EventOutcome:
    """Compare each clip's alarms with its labelled events.

    A labelled event is found by an alarm that overlaps it. Its onset is its first frame with a
    score, as nothing can be detected before. An alarm is false if it is *raised* further than the
    tolerance from every abnormal frame, even if it lasts into a labelled event later. Otherwise
    one endless alarm would find everything, and never be false.

    Args:
        found: alarms of each clip.
        scored: frames with a score; None means all.
    """
    tolerance = round(tolerance_s * fps)
    events: list[LabelledEvent] = []
    false_events = normal_frames = 0
    for clip, (raised, abnormal) in enumerate(zip(found, labels, strict=True)):
        known = np.ones(len(abnormal), np.bool_) if scored is None else scored[clip]
        near = _widen(abnormal, tolerance)
        false_events += sum(not near[alarm.raised_frame] for alarm in raised)
        normal_frames += int((known & ~near).sum())
        for start, stop in find_runs(abnormal):
            if known[start:stop].any():
                onset = start + int(np.argmax(known[start:stop]))
                events.append(
                    LabelledEvent(clip, start, stop, _find_delay_s(raised, onset, stop, fps))
                )
    return EventOutcome(tuple(events), false_events, normal_frames / fps / 3600.0)


def _widen(flags: Labels, frames: int) -> Labels:
    wide = flags.copy()
    for start, stop in find_runs(flags):
        wide[max(0, start - frames) : stop + frames] = True
    return wide


def _find_delay_s(raised: Sequence[Alarm], onset: int, stop: int, fps: float) -> float | None:
    overlapping = [
        max(0, alarm.raised_frame - onset)
        for alarm in raised
        if alarm.first_frame < stop and alarm.last_frame >= onset
    ]
    return min(overlapping) / fps if overlapping else None


def measure_events(
    scores: Sequence[Scores],
    labels: Sequence[Labels],
    threshold: float,
    rules: EventRules,
    fps: float,
) -> EventOutcome:
    """Count the service's events at this threshold; each clip is a stream of its own."""
    return match_alarms(
        [find_alarms(clip, threshold, rules, fps) for clip in scores],
        labels,
        fps,
        scored=[~np.isnan(clip) for clip in scores],
    )


def measure_at_recall(
    scores: Sequence[Scores],
    labels: Sequence[Labels],
    rules: EventRules,
    fps: float,
    recalls: Sequence[float] = RECALLS,
) -> list[AtRecall]:
    """Measure false events and delays at the highest threshold that reaches each recall.

    Raises: ValueError: a recall isn't in (0, 1], or no labelled event has a scored frame.
    """
    highest = sorted(_find_highest_thresholds(scores, labels, rules, fps), reverse=True)
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
            reached = measure_events(scores, labels, threshold, rules, fps)
            results.append(AtRecall(recall, threshold, reached))
    return results


def _find_highest_thresholds(
    scores: Sequence[Scores], labels: Sequence[Labels], rules: EventRules, fps: float
) -> list[float]:
    """Return the highest threshold that finds each labelled event; -inf if none does."""
    results: list[float] = []
    for clip, abnormal in zip(scores, labels, strict=True):
        candidates = _list_candidates(clip, rules)
        for start, stop in find_runs(abnormal):
            only = np.zeros(len(abnormal), np.bool_)
            only[start:stop] = True
            if not np.isnan(clip[only]).all():
                results.append(_find_highest(clip, only, candidates, rules, fps))
    return results


def _find_highest(
    clip: Scores, event: Labels, candidates: Scores, rules: EventRules, fps: float
) -> float:
    # A lower threshold opens an event no later and ends it no sooner: what is found stays found.
    low, high = -1, len(candidates) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if measure_events([clip], [event], float(candidates[middle]), rules, fps).found:
            low = middle
        else:
            high = middle - 1
    return float(candidates[low]) if low >= 0 else -math.inf


def _list_candidates(clip: Scores, rules: EventRules) -> Scores:
    """List the thresholds at which anything changes, rising: those that a score just reaches, by
    itself or by the release."""
    known = clip[~np.isnan(clip)]
    # Rounding must not lift release x threshold above the score.
    released = known[known > 0.0] / rules.release * (1.0 - 1e-12)
    return np.unique(np.concatenate((known, released)))
