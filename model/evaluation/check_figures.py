"""Figures of the check of a model, from the scores of its synthetic scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from model.evaluation.accuracy import Scores
from model.evaluation.check_players import Player
from model.evaluation.clip_bootstrap import compute_group_aucs, count_pairs, draw_counts
from model.evaluation.event_figures import find_alarms
from model.evaluation.synthetic_anomalies import SyntheticScene
from model.events.event_detection import EventRules

RESAMPLES = 1000
ENDS = (0.025, 0.975)
NO_AUC = 0.5


@dataclass(frozen=True, slots=True)
class KindFigures:
    """What a model makes of one kind of synthetic anomaly."""

    kind: str
    auc: float
    found: int
    scenes: int


@dataclass(frozen=True, slots=True)
class UnitInterval:
    """An AUC from 0 to 1, with its 95 % interval."""

    auc: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CheckedScenes:
    """What a detector makes of the scenes."""

    scores: tuple[Scores, ...]
    kinds: tuple[KindFigures, ...]
    """`found` is 0: finding needs a threshold."""
    auc: UnitInterval


def measure_scenes(
    scenes: Sequence[SyntheticScene], player: Player, on_frame: Callable[[], None]
) -> CheckedScenes:
    """Play each scene by itself, and measure how well its abnormal frames stand out."""
    scores = tuple(player.play(scene.clip, on_frame) for scene in scenes)
    if not scenes:
        return CheckedScenes((), (), UnitInterval(NO_AUC, 0.0, 1.0))
    names = [scene.kind.value for scene in scenes]
    counts = np.concatenate([np.ones((1, len(names))), draw_counts(names, RESAMPLES)])
    pairs = count_pairs([scene.abnormal for scene in scenes], scores)
    groups = compute_group_aucs(pairs, counts, names)
    means = np.nanmean(np.stack(list(groups.values())), axis=0) / 100.0
    low, high = np.nanquantile(means[1:], ENDS)
    return CheckedScenes(
        scores=scores,
        kinds=tuple(
            KindFigures(name, float(each[0]) / 100.0, 0, names.count(name))
            for name, each in groups.items()
        ),
        auc=UnitInterval(float(means[0]), float(low), float(high)),
    )


def find_in_scenes(
    scenes: Sequence[SyntheticScene], scores: Sequence[Scores], threshold: float, fps: float
) -> list[float | None]:
    """Return for each scene the seconds from its first abnormal frame to the event; None: it is
    missed. Only scores of abnormal frames count: an event that was on before finds nothing."""
    rules = EventRules()
    delays: list[float | None] = []
    for scene, each in zip(scenes, scores, strict=True):
        abnormal = np.where(scene.abnormal, each, np.nan)
        alarms = find_alarms(abnormal, threshold, rules, fps)
        known = np.flatnonzero(~np.isnan(abnormal))
        delays.append((alarms[0].raised_frame - int(known[0])) / fps if alarms else None)
    return delays
