"""A bundle beside the baselines, and its memory under several rules, on the same test clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from model.bundle import Bundle
from model.config import LIVE, SCORES, ErrorKind, NormalRange, ScoreConfig
from model.detector import Detector
from model.engines.names import EngineName
from model.evaluation import passes
from model.evaluation.accuracy import auc
from model.evaluation.baselines import Baseline, Setup, Start, baselines, watch
from model.evaluation.events import AtRecall, EventOutcome, false_events_at_recall, outcome
from model.evaluation.heat import HeatMaps, heat_maps
from model.evaluation.kinds import Kind
from model.evaluation.passes import Rows
from model.evaluation.protocol import Evaluation, ScoredClip, evaluation
from model.evaluation.regions import Criteria, detection_criteria
from model.evaluation.truth import Truth
from model.events import EventRules
from model.footage import Clip
from model.observation import CameraOptions
from model.rules import UPDATE_RULES


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured."""

    rules: tuple[str, ...] = ("paper",)
    """Of the memory, by name; the first is the one that stands for the bundle."""
    scores: Mapping[str, ScoreConfig] = field(default_factory=lambda: dict(SCORES))
    gamma: float | None = None
    """γ, instead of the bundle's."""
    baselines: bool = True
    events: EventRules = field(default_factory=EventRules)
    fps: float = 10.0
    keep: frozenset[str] = frozenset()
    """Names of clips that are to be shown again; see `replay`."""
    engine: EngineName | None = None
    """What runs the network; None is PyTorch in fp32."""

    def options(self, rule: str) -> CameraOptions:
        """How a camera under this rule runs."""
        return CameraOptions(gamma=self.gamma, update=UPDATE_RULES[rule])


@dataclass(frozen=True, slots=True)
class Figures:
    """One composition of one detector."""

    evaluation: Evaluation
    threshold: float | None
    kinds: Mapping[Kind, float | None]
    """Causal AUC of one kind's frames against the normal ones, in percent."""
    recalls: tuple[AtRecall, ...]
    """Empty where no labelled event has a score."""
    outcome: EventOutcome | None
    """At the threshold; None without one."""


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """What a memory did."""

    gamma: float
    updated_share: float
    """Share of scored frames that updated the memory."""
    drift_deg: float


@dataclass(frozen=True, slots=True)
class Detected:
    """One detector: the network under one memory rule, or a baseline."""

    figures: Mapping[str, Figures]
    """By score."""
    regions: Criteria | None
    """None where the footage has no masks."""
    scored: int
    memory: MemoryUse | None = None
    start: Start | None = None
    """Of a baseline: where its ranges come from."""

    def nearest(self, score: str) -> str:
        """The composition itself; `live` for a baseline, which judges nothing, if it is judged."""
        return score if score in self.figures else LIVE.name

    def under(self, score: str) -> Figures:
        """Its figures of a composition, or of the nearest to it."""
        return self.figures[self.nearest(score)]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that one run of the command measured."""

    rules: Mapping[str, Detected]
    baselines: Mapping[str, Detected]
    frames: int
    abnormal: int
    states: Mapping[str, bytes]
    """The camera before each clip of `Plan.keep`, under the first rule."""


def compare(
    bundle: Bundle,
    clips: Sequence[Clip],
    truth: Truth,
    plan: Plan,
    *,
    normal: Sequence[Clip] = (),
    on_frame: Callable[[], None] = lambda: None,
) -> Comparison:
    """Measure a bundle, once a memory rule, and the baselines.

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
    bench = _Bench(bundle, bundle.calibration.normal, clips, truth, plan, on_frame)
    ruled: dict[str, Detected] = {}
    states: Mapping[str, bytes] = {}
    for rule in plan.rules:
        ruled[rule], seen = _network(bench, rule, keep=frozenset() if ruled else plan.keep)
        states = states or seen
    watched: dict[str, Detected] = {}
    for name, baseline in (baselines() if plan.baselines else {}).items():
        watched[name] = _baseline(bench, baseline, normal)
    return Comparison(
        ruled,
        watched,
        frames=sum(map(len, clips)),
        abnormal=int(sum(labels.sum() for labels in truth.abnormal)),
        states=states,
    )


def frames_to_see(clips: Sequence[Clip], normal: Sequence[Clip], plan: Plan) -> int:
    """How often `compare` will call `on_frame`."""
    test, usual = sum(map(len, clips)), sum(map(len, normal))
    watching = len(baselines()) * (test + usual) if plan.baselines else 0
    return len(plan.rules) * test + watching


@dataclass(frozen=True, slots=True)
class _Bench:
    """What all detectors are measured with."""

    bundle: Bundle
    normal: NormalRange
    clips: Sequence[Clip]
    truth: Truth
    plan: Plan
    on_frame: Callable[[], None]


def _network(
    bench: _Bench, rule: str, *, keep: frozenset[str]
) -> tuple[Detected, Mapping[str, bytes]]:
    calibration, options = bench.bundle.calibration, bench.plan.options(rule)
    detector = Detector(
        bench.bundle, scores=tuple(bench.plan.scores.values()), engine=bench.plan.engine
    )
    with heat_maps() as maps:
        seen = passes.run(
            detector, bench.clips, options, heat=maps, keep=keep, on_frame=bench.on_frame
        )
        regions = _regions(maps, bench.truth)
    figures = {
        name: _figures(
            bench, score, seen.rows, bench.normal, threshold=calibration.thresholds.get(name)
        )
        for name, score in bench.plan.scores.items()
    }
    memory = MemoryUse(
        calibration.gamma if bench.plan.gamma is None else bench.plan.gamma,
        seen.updated / max(seen.scored, 1),
        seen.drift_deg,
    )
    return Detected(figures, regions, seen.scored, memory), seen.starts


def _baseline(bench: _Bench, baseline: Baseline, normal: Sequence[Clip]) -> Detected:
    own = bench.bundle.score.error
    possible = {
        name: replace(each, appearance_weight=1.0)  # it has no D to mix in
        for name, each in bench.plan.scores.items()
        if each.judgement is None
    }
    setup = Setup(
        possible or {LIVE.name: LIVE},
        heat=LIVE.error if own.form is ErrorKind.PSNR else own,
        context=bench.bundle.config.context,
    )
    with heat_maps() as maps:
        seen = watch(baseline, bench.clips, normal, setup, maps=maps, on_frame=bench.on_frame)
        regions = _regions(maps, bench.truth)
    figures = {
        name: _figures(
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
    return Detected(figures, regions, scored, start=seen.start)


def _regions(maps: HeatMaps, truth: Truth) -> Criteria | None:
    return None if truth.masks is None else detection_criteria(maps.clips(), truth.masks())


def _figures(
    bench: _Bench,
    score: ScoreConfig,
    rows: Rows,
    normal: NormalRange,
    *,
    threshold: float | None,
    skip: int = 0,
) -> Figures:
    names = [clip.name for clip in bench.clips]
    labels, plan = list(bench.truth.abnormal), bench.plan
    scored = evaluation(score, normal, names, rows, labels, skip=skip, threshold=threshold)
    causal = [clip.causal for clip in scored.clips]
    return Figures(
        scored,
        threshold,
        kinds={kind: _of_kind(scored.clips, bench.truth, kind) for kind in bench.truth.kinds_known},
        recalls=tuple(false_events_at_recall(causal, labels, plan.events, plan.fps))
        if any((each & ~np.isnan(s)).any() for each, s in zip(labels, causal, strict=True))
        else (),
        outcome=None
        if threshold is None
        else outcome(causal, labels, threshold, plan.events, plan.fps),
    )


def _of_kind(clips: Sequence[ScoredClip], truth: Truth, kind: Kind) -> float | None:
    """AUC over the frames that are normal, or abnormal in this way."""
    of_kind = np.concatenate(truth.frames_of(kind))
    abnormal = np.concatenate([clip.abnormal for clip in clips])
    scores = np.concatenate([clip.causal for clip in clips])
    taken = (of_kind | ~abnormal) & ~np.isnan(scores)
    return auc(of_kind[taken], scores[taken])
