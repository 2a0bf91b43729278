"""Checks a model before it goes live: what it would find and miss, on this camera's own footage.

Synthetic anomalies are put into held-out normal footage, of kinds that training doesn't use, and
other ones than those by which the score was composed. docs/studies/check.md says how well the
result predicts what labelled footage says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.bundles.bundle import Bundle
from model.engines.names import EngineName
from model.evaluation.accuracy import Labels, Scores
from model.evaluation.check_figures import (
    CheckedScenes,
    KindFigures,
    find_in_scenes,
    measure_scenes,
)
from model.evaluation.check_players import (
    FrameDifferencePlayer,
    ModelPlayer,
)
from model.evaluation.check_verdict import Findings, give_verdict, may_go_live
from model.evaluation.event_figures import estimate_false_rate, measure_events
from model.evaluation.synthetic_anomalies import SyntheticScene, make_scenes
from model.events.event_detection import EventRules
from model.footage.clips import Clip
from model.training.bundle_calibration import LEAST_THRESHOLD, THRESHOLD_MARGIN

CHECK_SEED = 2000
"""Scenes of the check are others than those by which the score was composed."""
SCENES_A_KIND = 4
MOST_NORMAL_FRAMES = 6000
"""So many held-out frames are played at most, evenly from all clips."""
HOURS_A_DAY = 24.0


@dataclass(frozen=True, slots=True)
class CheckedScene:
    """A synthetic scene as the model saw it."""

    scene: SyntheticScene
    scores: Scores
    """(T,); NaN before there were enough frames."""
    delay_s: float | None
    """Seconds from its first abnormal frame to the event; None if it was missed."""


@dataclass(frozen=True, slots=True)
class NormalScores:
    """A held-out clip without anything abnormal, and its scores."""

    clip: Clip
    scores: Scores


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """The result of a check. The fields up to `verdict` are those of the service's `CheckSummary`;
    AUCs are from 0 to 1, causal."""

    auc: float
    """Mean over the kinds: each kind's abnormal frames against all normal ones."""
    auc_low: float
    auc_high: float
    """Ends of a 95 % interval over scenes."""
    frame_difference_auc: float
    current_auc: float | None
    """Of the model in use, on the same scenes; None: there is none, or it takes other frames."""
    found: int
    """Scenes whose abnormal frames make an event."""
    scenes: int
    delay_s: float | None
    false_events: int
    """In held-out footage, at the model's threshold or, if more, at thresholds each measured on the
    other half of it, as the model's own was measured on all of it."""
    normal_s: float
    false_events_per_day_high: float
    """Upper end of a 95 % interval."""
    kinds: tuple[KindFigures, ...]
    is_passed: bool
    verdict: str
    """One sentence for the owner."""
    threshold: float
    fps: float
    checked: tuple[CheckedScene, ...]
    normal: tuple[NormalScores, ...]
    learned: tuple[Clip, ...]
    """What the model was trained on."""


@dataclass(frozen=True, slots=True)
class PreparedCheck:
    """What a check needs of a camera, besides the model."""

    scenes: tuple[SyntheticScene, ...]
    normal: tuple[Clip, ...]
    """Held-out footage."""
    learned: tuple[Clip, ...]
    basic: CheckedScenes
    """The scenes by frame difference."""
    fps: float


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """Which scenes are made."""

    seed: int = 0
    scenes_a_kind: int = SCENES_A_KIND


USUAL_PLAN = ScenePlan()


def check_model(
    bundle: Bundle,
    held_out: Sequence[Clip],
    training_clips: Sequence[Clip],
    fps: float,
    *,
    current: Bundle | None = None,
    on_progress: Callable[[float], object] = lambda share: None,
    plan: ScenePlan = USUAL_PLAN,
    engine: EngineName | None = None,
) -> ModelCheck:
    """Check a calibrated model.

    Args:
        held_out: normal footage that it wasn't trained on.
        training_clips: normal footage that it was trained on, for frame difference's range.
        fps: frames a second of both.
        current: the model in use.
        on_progress: called with the share that is done, from 0 to 1.
        engine: what runs the networks; None takes the fastest.
    Raises: ValueError: the bundle isn't calibrated, the footage has another shape, or no frame of
        the held-out footage gets a score.
    """
    _require_shape(bundle, [*held_out, *training_clips])
    prepared = prepare_check(held_out, training_clips, fps, bundle.config.context, plan)
    return run_check(bundle, prepared, current=current, on_progress=on_progress, engine=engine)


def prepare_check(
    held_out: Sequence[Clip],
    training_clips: Sequence[Clip],
    fps: float,
    context: int,
    plan: ScenePlan = USUAL_PLAN,
) -> PreparedCheck:
    """Make the scenes, and play them to frame difference: the same for all models of a camera.

    Args:
        context: frames that come before the first one that can be scored.
    Raises: ValueError: the held-out footage is too short for a score.
    """
    if max(map(len, held_out), default=0) <= context:
        raise ValueError("no frame of the held-out footage gets a score: it is too short")
    scenes = tuple(
        make_scenes(held_out, fps, CHECK_SEED + plan.seed, scenes_a_kind=plan.scenes_a_kind)
    )
    return PreparedCheck(
        scenes=scenes,
        normal=tuple(take_evenly(held_out, MOST_NORMAL_FRAMES)),
        learned=tuple(training_clips),
        basic=measure_scenes(scenes, FrameDifferencePlayer(training_clips, context), lambda: None),
        fps=fps,
    )


def run_check(
    bundle: Bundle,
    prepared: PreparedCheck,
    *,
    current: Bundle | None = None,
    on_progress: Callable[[float], object] = lambda share: None,
    engine: EngineName | None = None,
) -> ModelCheck:
    """Check a model on what was prepared; see `check_model`."""
    scenes, fps, basic = prepared.scenes, prepared.fps, prepared.basic
    _require_shape(bundle, prepared.normal)
    rival = _choose_rival(bundle, current, fps)
    scene_frames = sum(len(each.clip) for each in scenes)
    progress = _Progress(
        on_progress,
        scene_frames * (1 + (rival is not None)) + sum(map(len, prepared.normal)),
    )
    player = ModelPlayer(bundle, engine)
    checked = measure_scenes(scenes, player, progress.advance)
    usual = player.play_on(prepared.normal, progress.advance)
    normal_s = sum(int((~np.isnan(each)).sum()) for each in usual) / fps
    other = (
        None
        if rival is None
        else measure_scenes(scenes, ModelPlayer(rival, engine), progress.advance)
    )
    delays = find_in_scenes(scenes, checked.scores, player.threshold, fps)
    counts = _count_false_events(usual, player.threshold, fps)
    kinds = tuple(
        replace(
            kind,
            found=sum(
                delay is not None
                for scene, delay in zip(scenes, delays, strict=True)
                if scene.kind.value == kind.kind
            ),
        )
        for kind in checked.kinds
    )
    known_delays = [delay for delay in delays if delay is not None]
    findings = Findings(
        auc=checked.auc.auc,
        frame_difference_auc=basic.auc.auc,
        current_auc=None if other is None else other.auc.auc,
        found=len(known_delays),
        scenes=len(scenes),
        false_events=counts,
        normal_s=normal_s,
        high_share=_measure_high_share(usual, player.threshold),
        kinds=kinds,
    )
    on_progress(1.0)
    return ModelCheck(
        auc=checked.auc.auc,
        auc_low=checked.auc.low,
        auc_high=checked.auc.high,
        frame_difference_auc=basic.auc.auc,
        current_auc=findings.current_auc,
        found=len(known_delays),
        scenes=len(scenes),
        delay_s=float(np.median(known_delays)) if known_delays else None,
        false_events=counts,
        normal_s=normal_s,
        false_events_per_day_high=_bound_false_events(counts, normal_s),
        kinds=kinds,
        is_passed=may_go_live(findings),
        verdict=give_verdict(findings),
        threshold=player.threshold,
        fps=fps,
        checked=tuple(
            CheckedScene(*each) for each in zip(scenes, checked.scores, delays, strict=True)
        ),
        normal=tuple(
            NormalScores(clip, each) for clip, each in zip(prepared.normal, usual, strict=True)
        ),
        learned=prepared.learned,
    )


def _require_shape(bundle: Bundle, clips: Sequence[Clip]) -> None:
    """Raises: ValueError: a clip's frames don't fit the network."""
    needed = bundle.frame_shape.array_shape
    for clip in clips:
        found = clip.frames.shape[1:]
        if found != needed:
            raise ValueError(f"clip {clip.name} has frames of {found}, the model takes {needed}")


class _Progress:
    def __init__(self, on_progress: Callable[[float], object], frames: int) -> None:
        self._on_progress = on_progress
        self._frames = max(1, frames)
        self._done = 0

    def advance(self) -> None:
        self._done += 1
        if self._done % 50 == 0:
            self._on_progress(min(1.0, self._done / self._frames))


def _choose_rival(bundle: Bundle, current: Bundle | None, fps: float) -> Bundle | None:
    """Return the model in use if it can be played the same scenes."""
    if current is None or current.frame_shape != bundle.frame_shape:
        return None
    normal = current.calibration.normal
    if normal is None or not normal.covers(current.score):
        return None
    rate = current.provenance.frame_rate or fps
    return current if abs(rate - fps) <= 0.2 * fps else None


def take_evenly(clips: Sequence[Clip], frames: int) -> list[Clip]:
    """Return the beginning of each clip, the same share of all: about so many frames."""
    total = sum(map(len, clips))
    share = min(1.0, frames / total) if total else 1.0
    return [Clip(clip.name, clip.frames[: round(share * len(clip))]) for clip in clips]


def _count_false_events(usual: Sequence[Scores], threshold: float, fps: float) -> int:
    own = _count_events(usual, threshold, fps)
    halves = usual[::2], usual[1::2]
    if len(usual) < 2:
        halves = _halve(usual)
    crossed = sum(
        _count_events(tested, _measure_threshold(measured), fps)
        for tested, measured in (halves, halves[::-1])
        if any((~np.isnan(each)).any() for each in measured)
    )
    return max(own, crossed)


def _halve(usual: Sequence[Scores]) -> tuple[list[Scores], list[Scores]]:
    return (
        [each[: len(each) // 2] for each in usual],
        [each[len(each) // 2 :] for each in usual],
    )


def _measure_threshold(scores: Sequence[Scores]) -> float:
    """Measure a threshold as calibration does."""
    highest = max(float(np.nanmax(each)) for each in scores if (~np.isnan(each)).any())
    return max(LEAST_THRESHOLD, min(THRESHOLD_MARGIN * highest, (1.0 + highest) / 2.0))


def _count_events(scores: Sequence[Scores], threshold: float, fps: float) -> int:
    nothing: list[Labels] = [np.zeros(len(each), np.bool_) for each in scores]
    return measure_events(scores, nothing, threshold, EventRules(), fps).false_events


def _bound_false_events(count: int, normal_s: float) -> float:
    """Return the upper end of the interval of events a day."""
    return HOURS_A_DAY * estimate_false_rate(count, normal_s / 3600.0).high


def _measure_high_share(usual: Sequence[Scores], threshold: float) -> float:
    known = np.concatenate([each[~np.isnan(each)] for each in usual]) if usual else np.zeros(0)
    return float((known >= threshold).mean()) if known.size else 0.0
