"""Event-level figures on scores drawn by hand, and against searches written without the code."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from model.evaluation.accuracy import Labels, Scores
from model.evaluation.event_figures import (
    Alarm,
    estimate_false_rate,
    find_alarms,
    find_runs,
    match_alarms,
    measure_at_recall,
    measure_events,
)
from model.events.event_detection import EventRules

FPS = 10.0
RULES = EventRules(start_s=0.2, release=0.9, quiet_s=0.4)


def _make_scores(length: int, *spans_of: tuple[int, int, float]) -> Scores:
    scores = np.full(length, 0.1)
    scores[:4] = np.nan
    for start, stop, value in spans_of:
        scores[start:stop] = value
    return scores


def _make_labels(length: int, *spans_of: tuple[int, int]) -> Labels:
    labels = np.zeros(length, np.bool_)
    for start, stop in spans_of:
        labels[start:stop] = True
    return labels


def test_alarms_are_raised_after_the_least_length_and_end_with_the_clip() -> None:
    scores = _make_scores(60, (10, 20, 0.8), (50, 60, 0.8))
    assert find_alarms(scores, 0.5, RULES, FPS) == [Alarm(10, 12, 19), Alarm(50, 52, 59)]


def test_an_alarm_in_a_labelled_event_finds_it_with_the_delay_to_the_alert() -> None:
    result = measure_events(
        [_make_scores(80, (42, 60, 0.8))], [_make_labels(80, (40, 60))], 0.5, RULES, FPS
    )
    assert (result.labelled, result.found, result.false_events) == (1, 1, 0)
    assert result.delays_s == (0.4,)  # frame 44 raises it
    assert result.median_delay_s == pytest.approx(0.4)


def test_a_missed_event_and_a_false_one_are_counted() -> None:
    scores = _make_scores(100, (20, 30, 0.8))
    result = measure_events([scores], [_make_labels(100, (60, 80))], 0.5, RULES, FPS)
    assert (result.labelled, result.found, result.false_events) == (1, 0, 1)
    assert result.events[0].delay_s is None
    assert result.median_delay_s is None


def test_normal_time_is_what_is_scored_and_far_from_labelled_events() -> None:
    result = measure_events([_make_scores(100)], [_make_labels(100, (60, 80))], 0.5, RULES, FPS)
    # 4 frames without a score; 10 on each side are within the tolerance.
    assert result.normal_hours == pytest.approx((100 - 4 - 20 - 20) / FPS / 3600)


@pytest.mark.parametrize(
    ("alarm", "false"),
    [
        (Alarm(26, 30, 33), 0),  # a second before the onset
        (Alarm(25, 29, 33), 1),
        (Alarm(65, 69, 73), 0),  # a second after the end
        (Alarm(66, 70, 73), 1),
    ],
)
def test_alarms_near_a_labelled_event_are_not_false(alarm: Alarm, false: int) -> None:
    result = match_alarms([[alarm]], [_make_labels(100, (40, 60))], FPS)
    assert (result.false_events, result.found) == (false, 0)


def test_an_alarm_that_is_on_long_before_is_false_and_yet_finds_the_event() -> None:
    result = match_alarms([[Alarm(10, 12, 90)]], [_make_labels(100, (50, 60), (70, 80))], FPS)
    assert (result.found, result.false_events) == (2, 1)
    assert result.delays_s == (0.0, 0.0)


def test_the_onset_of_a_clip_that_is_abnormal_throughout_is_its_first_scored_frame() -> None:
    scores = _make_scores(50, (4, 50, 0.8))
    result = measure_events([scores], [np.ones(50, np.bool_)], 0.5, RULES, FPS)
    assert result.delays_s == (0.2,)
    assert result.normal_hours == 0.0
    assert result.false_rate is None


def test_a_labelled_event_without_a_scored_frame_is_left_out() -> None:
    result = measure_events(
        [_make_scores(50)], [_make_labels(50, (0, 3), (20, 30))], 0.5, RULES, FPS
    )
    assert [(event.start, event.stop) for event in result.events] == [(20, 30)]


def test_clips_do_not_share_an_alarm() -> None:
    clip = _make_scores(20, (18, 20, 0.8))
    second = np.array([0.8, *[0.1] * 19])
    labels = [_make_labels(20, (18, 20)), _make_labels(20, (0, 1))]
    assert measure_events([clip, second], labels, 0.5, RULES, FPS).found == 0


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_the_interval_of_a_rate_is_that_of_a_poisson_count(count: int) -> None:
    rate = estimate_false_rate(count, 2.0)
    assert rate.per_hour == count / 2
    # At either end of the interval so extreme a count has 2.5 %.
    assert poisson.sf(count - 1, 2.0 * rate.low) == pytest.approx(0.025)
    assert poisson.cdf(count, 2.0 * rate.high) == pytest.approx(0.025)
    assert not rate.rule_of_three


def test_no_false_event_gives_the_rule_of_three() -> None:
    rate = estimate_false_rate(0, 0.1)
    assert (rate.per_hour, rate.low, rate.high, rate.rule_of_three) == (0.0, 0.0, 30.0, True)
    with pytest.raises(ValueError, match="0 h"):
        estimate_false_rate(0, 0.0)


def _make_ten_events() -> tuple[list[Scores], list[Labels]]:
    """Ten clips whose events score 0.30, 0.35, ... 0.75; in one a false event scores 0.5."""
    scores = [_make_scores(100, (50, 70, 0.3 + 0.05 * index)) for index in range(10)]
    scores[9][20:26] = 0.5
    return scores, [_make_labels(100, (50, 70))] * 10


def test_the_highest_threshold_of_each_recall_is_found() -> None:
    scores, labels = _make_ten_events()
    results = measure_at_recall(scores, labels, RULES, FPS, (0.4, 0.9, 0.95, 1.0))
    reached = [result.outcome for result in results if result.outcome is not None]
    assert [result.recall for result in results] == [0.4, 0.9, 0.95, 1.0]
    assert [result.threshold for result in results] == pytest.approx([0.6, 0.35, 0.3, 0.3])
    assert [result.found for result in reached] == [4, 9, 10, 10]
    assert [result.false_events for result in reached] == [0, 1, 1, 1]
    assert reached[0].false_rate is not None
    assert reached[0].false_rate.rule_of_three


def test_a_recall_that_no_threshold_reaches_has_none() -> None:
    scores = [_make_scores(50, (20, 40, 0.8)), np.full(50, np.nan)]
    scores[1][20:22] = 0.9  # shorter than an event
    labels = [_make_labels(50, (20, 40)), _make_labels(50, (20, 40))]
    half, whole = measure_at_recall(scores, labels, RULES, FPS, (0.5, 1.0))
    assert half.threshold == pytest.approx(0.8)
    assert (whole.threshold, whole.outcome) == (None, None)


def test_recalls_need_labelled_events_and_lie_within_1() -> None:
    with pytest.raises(ValueError, match="no event"):
        measure_at_recall([_make_scores(20)], [_make_labels(20)], RULES, FPS)
    with pytest.raises(ValueError, match="recall"):
        measure_at_recall([_make_scores(20)], [_make_labels(20, (9, 15))], RULES, FPS, (1.1,))


_VALUES = st.none() | st.sampled_from([-0.4, 0.0, 0.1, 0.3, 0.31, 0.5, 0.55, 0.8])
_CLIPS = st.lists(
    st.lists(st.tuples(_VALUES, st.booleans()), min_size=1, max_size=40), min_size=1, max_size=3
)


@given(
    _CLIPS,
    st.builds(
        EventRules,
        st.sampled_from([0.0, 0.1, 0.2]),
        st.sampled_from([0.6, 0.9, 1.0]),
        st.sampled_from([0.1, 0.2, 0.3]),
    ),
    st.sampled_from([0.5, 1.0]),
)
def test_the_threshold_is_the_highest_of_all_that_reach_the_recall(
    clips: list[list[tuple[float | None, bool]]], rules: EventRules, recall: float
) -> None:
    """Compared with trying every threshold there is, between and at all scores."""
    scores = [np.array([math.nan if v is None else v for v, _ in clip]) for clip in clips]
    labels = [np.array([label for _, label in clip]) for clip in clips]
    if not any(
        measure_events([s], [a], 0.0, rules, FPS).labelled
        for s, a in zip(scores, labels, strict=True)
    ):
        return
    (result,) = measure_at_recall(scores, labels, rules, FPS, (recall,))
    tried = {0.05 * step for step in range(-20, 40)} | {0.31, 0.31 / 0.6, 0.31 / 0.9, 0.3 / 0.6}
    tried |= {value / share for value in (0.5, 0.55, 0.8, 0.1, 0.3) for share in (0.6, 0.9)}
    for threshold in tried:
        reached = measure_events(scores, labels, threshold, rules, FPS)
        reaches = reached.found >= recall * reached.labelled - 1e-9
        if result.threshold is None:
            assert not reaches
        elif not math.isclose(threshold, result.threshold):
            assert reaches == (threshold < result.threshold)
    if result.threshold is not None:
        assert result.outcome == measure_events(scores, labels, result.threshold, rules, FPS)
        assert result.outcome.found >= recall * result.outcome.labelled - 1e-9


@given(st.lists(st.booleans(), max_size=30))
def test_spans_give_the_flags_back(flags: list[bool]) -> None:
    array = np.array(flags, np.bool_)
    assert (_make_labels(len(flags), *find_runs(array)) == array).all()
    assert all(
        b < c for (_, b), (c, _) in zip(find_runs(array), find_runs(array)[1:], strict=False)
    )


def test_twenty_thousand_frames_are_swept() -> None:
    random = np.random.default_rng(0)
    scores, labels = [], []
    for _ in range(20):
        clip = np.convolve(random.random(1000), np.ones(5) / 5, "same")
        clip[400:450] += 0.3 * random.random()
        scores.append(clip)
        labels.append(_make_labels(1000, (400, 450)))
    results = measure_at_recall(scores, labels, EventRules(), FPS)
    thresholds = [result.threshold for result in results if result.threshold is not None]
    assert thresholds == sorted(thresholds, reverse=True)
    assert results[-1].outcome is not None
    assert results[-1].outcome.found == 20
