"""The choice of the judgement's weight from synthetic anomalies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from model.bundles import bundle as bundles
from model.bundles.calibration_config import Calibration
from model.evaluation.accuracy import Labels, Scores
from model.network.network_config import NetConfig
from model.scoring.score_config import JUDGED
from model.training.bundle_calibration import calibrate
from model.training.score_composition import (
    LEAST_SCENES,
    WEIGHTS,
    choose_weight,
    list_candidates,
)
from tests.model.drawn import NET, clip
from tests.model.evaluation.test_synthetic_anomalies import SIZE, draw_walkers
from tests.support.bundles import small_bundle

NAMES = {weight: "judged" if weight else "live" for weight in WEIGHTS}
KINDS = ["stranger", "smoke", "stopped"] * 6


def _scores(
    leads: dict[float, float], seed: int = 0
) -> tuple[list[Labels], dict[float, list[Scores]]]:
    """Scores of scenes whose abnormal frames lie this far above the normal ones."""
    random = np.random.default_rng(seed)
    labels = [np.arange(30) >= 12 for _ in KINDS]
    shared = [random.normal(size=30) for _ in KINDS]
    return labels, {
        weight: [
            lead * each + base + random.normal(size=30)
            for each, base in zip(labels, shared, strict=True)
        ]
        for weight, lead in leads.items()
    }


def test_the_default_stays_where_nothing_is_better() -> None:
    labels, scores = _scores({0.0: 0.5, 0.25: 0.8, 0.5: 1.5, 0.75: 0.9})
    found = choose_weight(NAMES, 0.5, KINDS, labels, scores)
    assert found.judgement_weight == 0.5
    assert "usual weight" in found.describe()
    assert "the best" in found.describe()


def test_a_lead_that_may_be_chance_keeps_the_default() -> None:
    labels, scores = _scores({0.0: 1.02, 0.25: 1.0, 0.5: 1.0, 0.75: 1.0}, seed=4)
    found = choose_weight(NAMES, 0.5, KINDS, labels, scores)
    best = max(found.candidates, key=lambda each: each.auc)
    assert best.judgement_weight != 0.5, "another one leads, so that the rule matters"
    assert found.judgement_weight == 0.5
    assert "leads by too little" in found.describe()


def test_a_judgement_that_harms_is_left_out() -> None:
    labels, scores = _scores({0.0: 2.0, 0.25: 1.0, 0.5: 0.2, 0.75: -0.5})
    found = choose_weight(NAMES, 0.5, KINDS, labels, scores)
    assert found.judgement_weight == 0.0
    chosen = next(each for each in found.candidates if each.judgement_weight == 0.0)
    assert chosen.score == "live"
    assert set(chosen.kinds) == set(KINDS)
    assert "is left out of the score" in found.describe()


def test_candidates_cost_no_more_than_the_default() -> None:
    for weight, score in list_candidates(JUDGED).items():
        assert set(score.steps) <= set(JUDGED.steps)
        assert score.judgement_weight == weight
    assert list_candidates(JUDGED)[0.5] == JUDGED


def _judging(net: NetConfig) -> bundles.Bundle:
    fresh = small_bundle(net=replace(net, judges=True))
    return replace(fresh, calibration=Calibration(), score=JUDGED)


def test_calibration_keeps_the_choice_in_the_bundle(tmp_path: Path) -> None:
    net = NetConfig(base_width=2, height=SIZE, width=SIZE, memory_items=3)
    held_out = [draw_walkers("a", 90, 0), draw_walkers("b", 90, 1)]
    made = calibrate(_judging(net), held_out)
    composition = made.provenance.composition
    assert composition is not None
    assert composition.scenes >= LEAST_SCENES
    assert tuple(each.judgement_weight for each in composition.candidates) == WEIGHTS
    assert made.score == list_candidates(JUDGED)[composition.judgement_weight]
    assert made.score.name in made.calibration.thresholds
    bundles.save(made, tmp_path / "b")
    assert bundles.load(tmp_path / "b").provenance == made.provenance


def test_short_footage_keeps_the_default_and_says_so() -> None:
    made = calibrate(_judging(NET), [clip("n", 25), clip("m", 20)])
    assert made.score == JUDGED
    assert made.provenance.composition is not None
    assert "too short" in made.provenance.composition.describe()


def test_a_network_that_does_not_judge_has_nothing_to_choose() -> None:
    made = calibrate(replace(small_bundle(net=NET), calibration=Calibration()), [clip("n", 40)])
    assert made.provenance.composition is None
