"""Chooses how a bundle's score is composed, from synthetic anomalies in held-out normal footage.

The rule is fixed, and documented in docs/training.md: the weight of the judgement with the largest
AUC, but the default unless the lead is larger than chance. No label is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from model.bundles.bundle import Bundle
from model.bundles.catalog import DEFAULT_FPS
from model.bundles.composition import Composition, CompositionCandidate
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.evaluation.accuracy import Labels, Scores, to_array
from model.evaluation.clip_bootstrap import (
    compute_group_aucs,
    count_pairs,
    draw_counts,
)
from model.evaluation.synthetic_anomalies import make_scenes
from model.footage.clips import Clip
from model.network.update_rules import UPDATE_RULES
from model.scoring.measures import Measures
from model.scoring.normal_range import NormalRange
from model.scoring.score_config import LIVE, ScoreConfig
from model.scoring.scorer import Scorer

WEIGHTS = (0.0, 0.25, 0.5, 0.75)
"""Candidates of κ. 1 isn't among them: the error is what the network learned first."""
RESAMPLES = 1000
LOW_QUANTILE = 0.025
"""A candidate replaces the default only if it leads at this quantile of the resamples: the lower
end of a 95 % interval."""
LEAST_SCENES = 12
"""With fewer scenes the default stays."""
MOST_SHARE = 12.0
"""The scenes have at most so many times the frames of the held-out footage."""


def list_candidates(default: ScoreConfig) -> dict[float, ScoreConfig]:
    """List the compositions by κ; without the judgement it is `live`."""
    weights = sorted({*WEIGHTS, default.judgement_weight})
    return {
        weight: replace(default, judgement_weight=weight) if weight else LIVE for weight in weights
    }


def choose_composition(
    bundle: Bundle, held_out: Sequence[Clip], normal: NormalRange, seed: int = 0
) -> tuple[ScoreConfig, Composition]:
    """Choose the score of a bundle whose network judges.

    Args:
        bundle: with its γ; its score is the default.
        normal: the ranges of the held-out footage, for all candidates.
    Returns: the chosen score, and how it was chosen.
    """
    default, candidates = bundle.score, list_candidates(bundle.score)
    detector = Detector(bundle, scores=tuple(candidates.values()))
    options = CameraOptions(update=UPDATE_RULES["held"], skip_still=False, watch_scene=False)
    most = MOST_SHARE * sum(map(len, held_out))
    kinds: list[str] = []
    labels: list[Labels] = []
    scores: dict[float, list[Scores]] = {weight: [] for weight in candidates}
    frames = 0
    for scene in make_scenes(held_out, bundle.provenance.frame_rate or DEFAULT_FPS, seed):
        if frames + len(scene.clip) > most:
            continue
        frames += len(scene.clip)
        camera = detector.start()
        rows = [
            detector.observe([camera], [each], [options])[0].measures for each in scene.clip.frames
        ]
        kinds.append(scene.kind.value)
        labels.append(scene.abnormal)
        for weight, score in candidates.items():
            scores[weight].append(_score(rows, score, normal))
    if len(labels) < LEAST_SCENES:
        return default, Composition(default.judgement_weight, default.judgement_weight, 0, 0)
    weights = {weight: config.name for weight, config in candidates.items()}
    choice = choose_weight(weights, default.judgement_weight, kinds, labels, scores)
    return candidates[choice.judgement_weight], choice


def _score(rows: Sequence[Measures | None], score: ScoreConfig, normal: NormalRange) -> Scores:
    """Score a scene by itself: its ranges start from those of normal footage."""
    scorer = Scorer(score, normal)
    return to_array([None if row is None else scorer.score(row) for row in rows])


def choose_weight(
    names: Mapping[float, str],
    default: float,
    kinds: Sequence[str],
    labels: Sequence[Labels],
    scores: Mapping[float, Sequence[Scores]],
) -> Composition:
    """Choose κ by the fixed rule.

    Args:
        names: the score's name of each candidate.
        kinds: each scene's kind. labels: each scene's abnormal frames.
        scores: each candidate's scores of each scene.
    """
    counts = np.concatenate([np.ones((1, len(kinds))), draw_counts(kinds, RESAMPLES)])
    by_kind = {
        weight: compute_group_aucs(count_pairs(labels, each), counts, kinds)
        for weight, each in scores.items()
    }
    means = {
        weight: np.nanmean(np.stack(list(each.values())), axis=0)
        for weight, each in by_kind.items()
    }
    candidates = tuple(
        CompositionCandidate(
            score=names[weight],
            judgement_weight=weight,
            auc=round(float(mean[0]), 2),
            lead_low=round(float(np.quantile((mean - means[default])[1:], LOW_QUANTILE)), 2),
            kinds={kind: round(float(each[0]), 2) for kind, each in by_kind[weight].items()},
        )
        for weight, mean in means.items()
    )
    leading = [each for each in candidates if each.lead_low > 0.0]
    best = max(leading, key=lambda each: each.auc, default=None)
    chosen = default if best is None else best.judgement_weight
    return Composition(chosen, default, len(labels), sum(map(len, labels)), candidates)
