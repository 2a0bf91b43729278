"""Compares a bundle with the baselines, and its memory rules with each other, on test clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from model.bundles.bundle import Bundle
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.engines.names import EngineName
from model.evaluation import camera_pass
from model.evaluation.accuracy import compute_auc
from model.evaluation.baselines import (
    Baseline,
    BaselineSetup,
    RangeStart,
    make_baselines,
    run_baseline,
)
from model.evaluation.camera_pass import Rows
from model.evaluation.event_figures import AtRecall, EventOutcome, measure_at_recall, measure_events
from model.evaluation.heat_maps import HeatMaps, open_heat_maps
from model.evaluation.motion_kinds import MotionKind
from model.evaluation.protocol import Evaluation, ScoredClip, evaluate_scores
from model.evaluation.regions import Criteria, measure_criteria
from model.evaluation.truth import Truth
from model.events.event_detection import EventRules
from model.footage.clips import Clip
from model.network.update_rules import UPDATE_RULES
from model.scoring.normal_range import NormalRange
from model.scoring.score_config import LIVE, SCORES, ErrorKind, ScoreConfig, rescale


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a comparison."""

    rules: tuple[str, ...] = ("paper",)
    """Names of memory rules; the first stands for the bundle."""
    scores: Mapping[str, ScoreConfig] = field(default_factory=lambda: dict(SCORES))
    gamma: float | None = None
    """Replaces the bundle's γ."""
    baselines: bool = True
    events: EventRules = field(default_factory=EventRules)
    fps: float = 10.0
    keep: frozenset[str] = frozenset()
    """Names of clips that will be replayed; see `replay`."""
    engine: EngineName | None = None
    """The engine of the network; None is PyTorch in fp32."""

    def options(self, rule: str) -> CameraOptions:
        """Return a camera's options under this rule."""
        return CameraOptions(gamma=self.gamma, update=UPDATE_RULES[rule])


@dataclass(frozen=True, slots=True)
class ScoreFigures:
    """The figures of one detector with one score composition."""

    evaluation: Evaluation
    threshold: float | None
    kinds: Mapping[MotionKind, float | None]
    """Causal AUC of one kind's frames against the normal ones, in percent."""
    recalls: tuple[AtRecall, ...]
    """Empty if no labelled event has a score."""
    outcome: EventOutcome | None
    """The events at the threshold; None without one."""


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """The use of a memory during the test clips."""

    gamma: float
    updated_share: float
    """The share of scored frames that updated the memory."""
    drift_deg: float


@dataclass(frozen=True, slots=True)
class DetectorFigures:
    """The figures of the network under one memory rule, or of a baseline."""

    figures: Mapping[str, ScoreFigures]
    """The figures by score."""
    regions: Criteria | None
    """None if the footage has no masks."""
    scored: int
    memory: MemoryUse | None = None
    start: RangeStart | None = None
    """The source of a baseline's ranges."""

    def nearest_score(self, score: str) -> str:
        """Return the composition itself; `live` for a baseline if the score needs a judgement."""
        return score if score in self.figures else LIVE.name

    def figures_for(self, score: str) -> ScoreFigures:
        """Return the figures of a composition, or of the nearest one that was measured."""
        return self.figures[self.nearest_score(score)]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that one run of the command measured."""

    rules: Mapping[str, DetectorFigures]
    baselines: Mapping[str, DetectorFigures]
    frames: int
    abnormal: int
    states: Mapping[str, bytes]
    """The camera's state before each clip of `Plan.keep`, under the first rule."""


def compare(
    bundle: Bundle,
    clips: Sequence[Clip],
    truth: Truth,
    plan: Plan,
    *,
    normal: Sequence[Clip] = (),
    on_frame: Callable[[], None] = lambda: None,
) -> Comparison:
    """Measure the baselines, and the bundle once for each memory rule.

    Args:
        normal: footage without anything abnormal, which gives the baselines their ranges.
        on_frame: called after each frame of each pass.
    Raises: ValueError: labels don't fit the clips, or the bundle has no normal range.
    """
    truth.check(clips)
    if bundle.calibration.normal is None:
        raise ValueError(
            f"bundle {bundle.name} has no range of normal footage: causal scores need one"
        )
    plan = replace(plan, scores=_rescale(plan, bundle.provenance.frame_rate or plan.fps))
    bench = _Bench(bundle, bundle.calibration.normal, clips, truth, plan, on_frame)
    ruled: dict[str, DetectorFigures] = {}
    states: Mapping[str, bytes] = {}
    for rule in plan.rules:
        ruled[rule], seen = _measure_network(bench, rule, keep=frozenset() if ruled else plan.keep)
        states = states or seen
    watched: dict[str, DetectorFigures] = {}
    for name, baseline in (make_baselines() if plan.baselines else {}).items():
        watched[name] = _measure_baseline(bench, baseline, normal)
    return Comparison(
        ruled,
        watched,
        frames=sum(map(len, clips)),
        abnormal=int(sum(labels.sum() for labels in truth.abnormal)),
        states=states,
    )


def count_frames(clips: Sequence[Clip], normal: Sequence[Clip], plan: Plan) -> int:
    """Count how often `compare` will call `on_frame`."""
    test, usual = sum(map(len, clips)), sum(map(len, normal))
    watching = len(make_baselines()) * (test + usual) if plan.baselines else 0
    return len(plan.rules) * test + watching


def _rescale(plan: Plan, model_fps: float) -> dict[str, ScoreConfig]:
    """Make averages and ranges last as long at the clips' frame rate as at the model's."""
    steps = model_fps / plan.fps
    return {name: rescale(score, steps) for name, score in plan.scores.items()}


@dataclass(frozen=True, slots=True)
class _Bench:
    """The inputs that all detectors share."""

    bundle: Bundle
    normal: NormalRange
    clips: Sequence[Clip]
    truth: Truth
    plan: Plan
    on_frame: Callable[[], None]


def _measure_network(
    bench: _Bench, rule: str, *, keep: frozenset[str]
) -> tuple[DetectorFigures, Mapping[str, bytes]]:
    calibration, options = bench.bundle.calibration, bench.plan.options(rule)
    detector = Detector(
        bench.bundle, scores=tuple(bench.plan.scores.values()), engine=bench.plan.engine
    )
    with open_heat_maps() as maps:
        seen = camera_pass.run_pass(
            detector, bench.clips, options, heat=maps, keep=keep, on_frame=bench.on_frame
        )
        regions = _measure_regions(maps, bench.truth)
    figures = {
        name: _measure_figures(
            bench, score, seen.rows, bench.normal, threshold=calibration.thresholds.get(name)
        )
        for name, score in bench.plan.scores.items()
    }
    memory = MemoryUse(
        calibration.gamma if bench.plan.gamma is None else bench.plan.gamma,
        seen.updated / max(seen.scored, 1),
        seen.drift_deg,
    )
    return DetectorFigures(figures, regions, seen.scored, memory), seen.starts


def _measure_baseline(bench: _Bench, baseline: Baseline, normal: Sequence[Clip]) -> DetectorFigures:
    own = bench.bundle.score.error
    possible = {
        name: replace(each, appearance_weight=1.0)  # it has no D to mix in
        for name, each in bench.plan.scores.items()
        if each.judgement is None
    }
    setup = BaselineSetup(
        possible or {LIVE.name: LIVE},
        heat=LIVE.error if own.kind is ErrorKind.PSNR else own,
        context=bench.bundle.config.context,
    )
    with open_heat_maps() as maps:
        seen = run_baseline(
            baseline, bench.clips, normal, setup, maps=maps, on_frame=bench.on_frame
        )
        regions = _measure_regions(maps, bench.truth)
    figures = {
        name: _measure_figures(
            bench,
            score,
            seen.rows,
            seen.normal,
            threshold=seen.thresholds.get(name),
            skip=0 if seen.start.normal_footage else seen.start.frames,
        )
        for name, score in setup.scores.items()
    }
    scored = sum(row is not None for rows in seen.rows for row in rows)
    return DetectorFigures(figures, regions, scored, start=seen.start)


def _measure_regions(maps: HeatMaps, truth: Truth) -> Criteria | None:
    return None if truth.masks is None else measure_criteria(maps.clips(), truth.masks())


def _measure_figures(
    bench: _Bench,
    score: ScoreConfig,
    rows: Rows,
    normal: NormalRange,
    *,
    threshold: float | None,
    skip: int = 0,
) -> ScoreFigures:
    names = [clip.name for clip in bench.clips]
    labels, plan = list(bench.truth.abnormal), bench.plan
    scored = evaluate_scores(score, normal, names, rows, labels, skip=skip, threshold=threshold)
    causal = [clip.causal for clip in scored.clips]
    return ScoreFigures(
        scored,
        threshold,
        kinds={
            kind: _compute_kind_auc(scored.clips, bench.truth, kind)
            for kind in bench.truth.known_kinds
        },
        recalls=tuple(measure_at_recall(causal, labels, plan.events, plan.fps))
        if any((each & ~np.isnan(s)).any() for each, s in zip(labels, causal, strict=True))
        else (),
        outcome=None
        if threshold is None
        else measure_events(causal, labels, threshold, plan.events, plan.fps),
    )


def _compute_kind_auc(clips: Sequence[ScoredClip], truth: Truth, kind: MotionKind) -> float | None:
    """Compute the AUC over normal frames and those that are abnormal in this way."""
    of_kind = np.concatenate(truth.select_frames(kind))
    abnormal = np.concatenate([clip.abnormal for clip in clips])
    scores = np.concatenate([clip.causal for clip in clips])
    taken = (of_kind | ~abnormal) & ~np.isnan(scores)
    return compute_auc(of_kind[taken], scores[taken])
