"""Measures what scores lose, and the network saves, when only changed parts are computed.

    python -m scripts.studies.study_still BUNDLE DATA [--every N] [--fps F] [--clips N] [--json F]

DATA is a labelled data set as for `normwatch evaluate`. Both passes work like a live camera: causal
scores, ranges carried from clip to clip, the memory updated as in the service. `--every 2` takes
each second frame, for a bundle of half the data's frame rate.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from model.bundles.bundle import load
from model.bundles.catalog import find_bundle
from model.data.datasets import load_test_clips
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.engines.names import EngineName
from model.evaluation import camera_pass
from model.evaluation.accuracy import Labels
from model.evaluation.event_figures import EventOutcome, measure_events
from model.evaluation.protocol import Evaluation, evaluate_scores
from model.events.event_detection import EventRules
from model.footage.clips import Clip, read_clips
from model.network.update_rules import LIVE_UPDATE
from model.stages import Stage, StageTimes


@dataclass(frozen=True, slots=True)
class SkippingFigures:
    """Full computation compared with skipping; AUCs in percent."""

    frames: int
    network_share: float
    """The share of frames for which the network ran."""
    computed_share: float
    """The mean share of the picture that it computed, over all frames."""
    network_time_saved: float
    """The saved share of the network's processor time, measuring included. The two passes run one
    after the other, so it isn't exact on a busy machine."""
    full_auc: float
    skipping_auc: float
    rank_correlation: float
    """Spearman's, of all frames' causal scores."""
    largest_difference: float
    mean_difference: float
    full_events: str
    skipping_events: str
    swept_events: str
    """Events at 20 thresholds, the 80 % to 99 % quantiles of full computation's scores."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one bundle on one data set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--fps", type=float)
    parser.add_argument("--clips", type=int, help="the first ones only")
    parser.add_argument("--engine", type=EngineName, default=EngineName.TORCH_FP32)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    answer = measure(options)
    for name, value in asdict(answer).items():
        print(f"{name:20} {value}")
    if options.json:
        options.json.write_text(json.dumps(asdict(answer), indent=2) + "\n")


def measure(options: argparse.Namespace) -> SkippingFigures:
    """Score the data twice. Raises: ValueError: the bundle has no threshold of its own."""
    bundle = load(find_bundle(options.bundle))
    labelled = load_test_clips(options.data)[: options.clips]
    whole = read_clips((clip.source for clip in labelled), bundle.frame_shape, whole=True)
    clips = [Clip(clip.name, clip.frames[:: options.every]) for clip in whole]
    labels = [clip.abnormal[:: options.every] for clip in labelled]
    normal, score = bundle.calibration.normal, bundle.score
    if normal is None or score.name not in bundle.calibration.thresholds:
        raise ValueError(f"{options.bundle} was never calibrated")
    threshold = bundle.calibration.thresholds[score.name]
    fps = options.fps or bundle.provenance.frame_rate or 10.0
    found: list[tuple[Evaluation, EventOutcome]] = []
    network, computed, spent_s = 0, 0.0, list[float]()
    for skips in (False, True):
        times = StageTimes()
        # The parts of pictures are then prepared before the pass.
        calibration = replace(bundle.calibration, skips_still=skips)
        prepared = replace(bundle, calibration=calibration)
        detector = Detector(prepared, engine=options.engine, times=times)
        chosen = CameraOptions(update=LIVE_UPDATE, skip_still=skips)
        seen = camera_pass.run_pass(detector, clips, chosen)
        rows, computed = seen.rows, seen.computed
        spent_s.append(times.seconds()[Stage.NETWORK])
        # A frame that was skipped holds the very measures of the one before.
        flat = [row for clip in rows for row in clip]
        network = sum(
            row is not None and row is not last
            for last, row in zip([None, *flat], flat, strict=False)
        )
        names = [clip.name for clip in clips]
        scored = evaluate_scores(score, normal, names, rows, labels, threshold=threshold)
        causal = [clip.causal for clip in scored.clips]
        found.append((scored, measure_events(causal, labels, threshold, EventRules(), fps)))
    full, skipping = (np.concatenate([c.causal for c in each.clips]) for each, _ in found)
    known = ~np.isnan(full)
    difference = np.abs(full - skipping)[known]
    return SkippingFigures(
        frames=int(known.sum()),
        network_share=network / max(int(known.sum()), 1),
        computed_share=computed / max(int(known.sum()), 1),
        network_time_saved=1.0 - spent_s[1] / spent_s[0],
        full_auc=_require_auc(found[0][0]),
        skipping_auc=_require_auc(found[1][0]),
        rank_correlation=float(spearmanr(full[known], skipping[known]).statistic),
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        full_events=_describe_events(found[0][1]),
        skipping_events=_describe_events(found[1][1]),
        swept_events=_sweep_events([each for each, _ in found], labels, fps),
    )


def _require_auc(scored: Evaluation) -> float:
    if scored.causal.micro is None:
        raise ValueError("the data holds only normal, or only abnormal frames")
    return scored.causal.micro


def _describe_events(found: EventOutcome) -> str:
    return f"{found.found} found, {found.false_events} false"


def _sweep_events(scored: Sequence[Evaluation], labels: Sequence[Labels], fps: float) -> str:
    """Count the thresholds at which both find as many events and false events; and totals."""
    scores = np.concatenate([clip.causal for clip in scored[0].clips])
    thresholds = np.quantile(scores[~np.isnan(scores)], np.arange(0.80, 0.995, 0.01))
    full, skipping = (
        [
            measure_events(
                [clip.causal for clip in each.clips], labels, float(at), EventRules(), fps
            )
            for at in thresholds
        ]
        for each in scored
    )
    pairs = list(zip(full, skipping, strict=True))
    found = sum(one.found == other.found for one, other in pairs)
    false = sum(one.false_events == other.false_events for one, other in pairs)
    totals = [
        f"{sum(each.found for each in way)} found, {sum(each.false_events for each in way)} false"
        for way in (full, skipping)
    ]
    return f"found alike {found}, false alike {false}; in all {totals[0]}, {totals[1]} skipping"


if __name__ == "__main__":
    main()
