"""Measures a bundle's AUC and events on Ped2; `scripts/figures` runs it.

usage: python -m scripts.regression.ped2 BUNDLE PED2 [--first]

It works like `normwatch evaluate --memory pulled --engine openvino-int8 --no-baselines`, with the
bundle's own score, and leaves out what needs masks. It prints one line of JSON, a `Ped2Answer`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import BaseModel

from model.bundles.bundle import load
from model.bundles.catalog import find_bundle
from model.data.datasets import load_test_clips
from model.engines.names import EngineName
from model.evaluation.accuracy import compute_accuracy
from model.evaluation.comparison import Plan, ScoreFigures, compare
from model.evaluation.truth import make_truth
from model.footage.clips import read_clips
from model.network.update_rules import LIVE_UPDATE

ENGINE = EngineName.OPENVINO_INT8
"""The one that the service chooses on a processor, and the fastest."""
FIRST_CLIPS = 3
"""The first of twelve clips. Scores are causal, so theirs don't depend on later clips."""
FIRST = "--first"


class Ped2Answer(BaseModel):
    """Causal micro AUC in percent; events at the bundle's own threshold."""

    auc: float
    first_auc: float
    """The AUC over the first clips alone."""
    found: int
    false: int


def main() -> None:
    """Measure one bundle, on all clips or the first ones."""
    bundle, data = sys.argv[1:3]
    print(measure(bundle, Path(data), first_only=FIRST in sys.argv[3:]).model_dump_json())


def measure(name: str, data: Path, *, first_only: bool) -> Ped2Answer:
    """Score the clips as one camera's stream. Raises: ValueError: it can't be measured."""
    bundle = load(find_bundle(name))
    labelled = load_test_clips(data)[: FIRST_CLIPS if first_only else None]
    clips = read_clips((clip.source for clip in labelled), bundle.frame_shape, whole=True)
    known = make_truth(clips, [clip.abnormal for clip in labelled], [None] * len(clips))
    score = bundle.score
    plan = Plan(
        rules=(LIVE_UPDATE.name,),
        scores={score.name: score},
        baselines=False,
        fps=bundle.provenance.frame_rate or 10.0,
        engine=ENGINE,
    )
    figures = compare(bundle, clips, known, plan).rules[LIVE_UPDATE.name].figures_for(score.name)
    if figures.outcome is None:
        raise ValueError(f"{name} has no threshold for its score {score.name}")
    return Ped2Answer(
        auc=_compute_causal_auc(figures, len(clips)),
        first_auc=_compute_causal_auc(figures, FIRST_CLIPS),
        found=figures.outcome.found,
        false=figures.outcome.false_events,
    )


def _compute_causal_auc(figures: ScoreFigures, count: int) -> float:
    clips = figures.evaluation.clips[:count]
    micro = compute_accuracy(
        [clip.abnormal for clip in clips], [clip.causal for clip in clips]
    ).micro
    if micro is None:
        raise ValueError(f"the first {count} clips hold only normal, or only abnormal frames")
    return micro


if __name__ == "__main__":
    main()
