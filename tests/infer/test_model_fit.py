"""A model that doesn't know its camera is noticed, and raises no alarm."""

from __future__ import annotations

import pytest

from service.infer.model_fit import JUDGED_AFTER_S, RECENT_S, ModelFit, misfit_reason
from service.messages import StreamState
from service.record.detection_input import make_scored_frame
from tests.infer.conftest import Bus

THRESHOLD = 0.5
FPS = 10
MINUTES = 60 * FPS


def _watch(fit: ModelFit, scores: list[float], *, began_at: float = 0.0, fps: float = FPS) -> float:
    """Show it these scores. Returns the time after the last one."""
    for place, score in enumerate(scores):
        fit.observe(began_at + place / fps, score, THRESHOLD)
    return began_at + len(scores) / fps


def test_a_model_that_finds_all_abnormal_from_the_first_is_a_misfit() -> None:
    fit = ModelFit()
    now = _watch(fit, [0.9] * int(JUDGED_AFTER_S * FPS))
    assert not fit.is_misfit, "it is not judged before its time"
    _watch(fit, [0.9], began_at=now)
    assert fit.is_misfit


def test_an_event_that_began_before_the_camera_is_no_misfit() -> None:
    fit = ModelFit()
    _watch(fit, [0.9] * MINUTES + [0.1] * 2 * MINUTES)
    assert not fit.is_misfit


def test_what_is_abnormal_later_is_no_misfit() -> None:
    fit = ModelFit()
    _watch(fit, [0.1] * 3 * MINUTES + [0.9] * 10 * MINUTES)
    assert not fit.is_misfit


def test_it_fits_again_when_half_of_a_minute_is_normal() -> None:
    fit = ModelFit()
    now = _watch(fit, [0.9] * 5 * MINUTES)
    now = _watch(fit, [0.1] * 30 * FPS, began_at=now)
    assert fit.is_misfit
    _watch(fit, [0.1] * int(RECENT_S * FPS), began_at=now)
    assert not fit.is_misfit


def test_a_few_frames_far_apart_are_not_enough() -> None:
    fit = ModelFit()
    _watch(fit, [0.9] * 100, fps=1 / 60)
    assert not fit.is_misfit, "a pause counts as a second"
    _watch(fit, [0.9] * 30, began_at=10_000.0, fps=1 / 60)
    assert fit.is_misfit


@pytest.mark.parametrize("fits", [False, True])
def test_another_worker_keeps_the_judgement(fits: bool) -> None:
    fit = ModelFit(fits)
    _watch(fit, [0.9] * 10 * MINUTES)
    assert fit.fits is fits


def test_the_reason_names_another_frame_rate() -> None:
    assert "2 frames a second where it was trained at 10" in misfit_reason(10.0, 2.0)
    for known in ((10.0, 9.0), (None, 2.0), (10.0, None)):
        assert "frames a second" not in misfit_reason(*known)


def test_a_misfit_raises_no_event_until_its_threshold_is_raised(bus: Bus) -> None:
    bus.add("one", threshold=0.0)
    bus.upload("one", 140)
    with bus.worker():
        scores = bus.wait_scores("one", 140)
        status = bus.wait_state("one", StreamState.MISFIT)
        assert "doesn't know this camera" in status.reason
    with bus.worker():
        bus.upload("one", 10, start=140)
        later = bus.wait_scores("one", 150)
        assert {score.state for score in later[145:]} == {StreamState.MISFIT}
        bus.add("one", threshold=1.0, revision=2)
        count = 150
        while bus.read_published("one")[-1].threshold != 1.0:
            bus.upload("one", 1, start=count)
            count += 1
            bus.wait_scores("one", count)
        bus.upload("one", 60, start=count)
        later = bus.wait_scores("one", count + 60)
        bus.wait_state("one", StreamState.LIVE)
    state_of = {score.frame: score.state for score in later}
    assert state_of[100] is StreamState.LIVE
    assert {state_of[frame] for frame in range(126, 140)} == {StreamState.MISFIT}
    assert later[-1].state is StreamState.LIVE
    misfit = scores[130]
    assert misfit.score is not None, "the score is kept for those who look"
    assert make_scored_frame(misfit).score is None, "but it raises nothing"
