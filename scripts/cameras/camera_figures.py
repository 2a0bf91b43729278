"""Measures one camera: every score on its labelled footage, or on synthetic anomalies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.bundles.bundle import Bundle, load
from model.bundles.catalog import DEFAULT_FPS, DOCUMENT, find_bundle
from model.bundles.composition import Composition
from model.data.datasets import load_test_clips
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.engines.names import EngineName
from model.evaluation.accuracy import Labels
from model.evaluation.clip_bootstrap import AucInterval, estimate_auc
from model.evaluation.comparison import DetectorFigures, Plan, ScoreFigures, compare
from model.evaluation.synthetic_anomalies import make_scenes
from model.evaluation.tracked_things import ThingFinder, TrackedThing
from model.evaluation.truth import Truth
from model.footage.clips import Clip, read_clips
from model.footage.footage_search import find_footage
from model.network.update_rules import LIVE_UPDATE
from model.scoring.score_config import JUDGED, LIVE, PAPER, ScoreConfig
from model.training.bundle_calibration import (
    compute_threshold,
    measure_clips,
    split_clips,
)
from model.training.score_composition import choose_composition, list_candidates
from scripts.cameras.camera_list import AucFigure, CameraEntry, CameraResult, ScoreResult

HOLD_OUT = 0.125
"""The share that `normwatch train` holds out."""
STRANGERS = 12
"""Things cut out of other cameras' footage."""
REPORT_SEED = 1000
"""Scenes of the report are others than those by which the composition was chosen."""
TRAIN_LIMIT_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class _Footage:
    """What a camera is measured on."""

    clips: list[Clip]
    labels: list[Labels]
    masks: list[NDArray[np.bool_]] | None

    def make_truth(self) -> Truth:
        return Truth(
            tuple(self.labels), None if self.masks is None else lambda: iter(self.masks or ())
        )


def provide_bundle(entry: CameraEntry, out: Path) -> Path:
    """Find the camera's bundle, or train it, going on with a training that was interrupted.

    Raises: BundleError: there is none. CalledProcessError: the training failed.
    """
    if entry.bundle is not None:
        return find_bundle(entry.bundle)
    folder = out / entry.name
    if (folder / DOCUMENT).exists():
        return folder
    command = [sys.executable, "-m", "service", "train", entry.normal, "--out", str(folder)]
    command += ["--threads", "1", *entry.train]
    if entry.fps is not None:
        command += ["--fps", str(entry.fps)]
    if entry.max_frames is not None:
        command += ["--max-frames", str(entry.max_frames)]
    if folder.with_name(folder.name + ".checkpoint").exists():
        command.append("--resume")
    subprocess.run(command, check=True, timeout=TRAIN_LIMIT_S)
    return folder


def cut_strangers(footage: Sequence[str], bundle: Bundle) -> list[TrackedThing]:
    """Cut moving things out of other cameras' footage, at the bundle's size of pictures."""
    found: list[TrackedThing] = []
    for index, location in enumerate(footage):
        clips = read_clips(find_footage([location]).sources, bundle.frame_shape, DEFAULT_FPS)
        finder = ThingFinder(clips)
        random = np.random.default_rng(index)
        things = [finder.find(random, 12) for _ in range(-(-STRANGERS // len(footage)))]
        found += [thing[1] for thing in things if thing is not None]
    return found


def measure_camera(
    entry: CameraEntry, path: Path, strangers: Sequence[str], engine: EngineName | None
) -> CameraResult:
    """Measure every score of a bundle.

    Raises: ValueError: the footage doesn't suffice, or labels don't fit it.
    """
    bundle = load(path)
    fps = entry.fps or bundle.provenance.frame_rate or DEFAULT_FPS
    usual = read_clips(find_footage([entry.normal]).sources, bundle.frame_shape, entry.fps)
    if entry.max_frames is not None:
        usual = [Clip(clip.name, clip.frames[: entry.max_frames]) for clip in usual]
    training, held_out = split_clips(usual, HOLD_OUT, bundle.config.context)
    bundle, composition = _choose(bundle, held_out)
    scores = _list_scores(bundle)
    bundle = _add_thresholds(bundle, held_out, scores, engine)
    others = [each for each in strangers if each != entry.normal]
    footage = _read_labelled(entry, bundle) if entry.labelled else None
    if footage is None:
        footage = _make_synthetic(held_out, fps, entry.scenes_a_kind, cut_strangers(others, bundle))
    plan = Plan(rules=(LIVE_UPDATE.name,), scores=scores, fps=fps, engine=engine)
    comparison = compare(bundle, footage.clips, footage.make_truth(), plan, normal=training)
    results = _list_results(comparison.rules[LIVE_UPDATE.name], "")
    for name, figures in comparison.baselines.items():
        results |= _list_results(figures, f"{name}, ", only=LIVE.name)
    return CameraResult(
        entry=entry,
        bundle=bundle.name,
        synthetic=entry.labelled is None,
        clips=len(footage.clips),
        frames=comparison.frames,
        abnormal=comparison.abnormal,
        fps=fps,
        composition=composition,
        scores=results,
    )


def _choose(bundle: Bundle, held_out: Sequence[Clip]) -> tuple[Bundle, Composition | None]:
    """Return the bundle with the score that the rule chooses; it isn't written anywhere."""
    kept = bundle.provenance.composition
    if bundle.score.judgement is None or bundle.calibration.normal is None:
        return bundle, kept
    if kept is not None and kept.candidates:
        return bundle, kept
    score, composition = choose_composition(bundle, held_out, bundle.calibration.normal)
    return replace(bundle, score=score), composition


def _list_scores(bundle: Bundle) -> dict[str, ScoreConfig]:
    """List the scores to report; `chosen` is the bundle's own."""
    listed = {PAPER.name: PAPER, LIVE.name: LIVE}
    if bundle.config.judges:
        default = _get_default(bundle)
        for weight, each in list_candidates(default).items():
            if weight:
                listed[JUDGED.name if each == default else f"κ = {weight:g}"] = each
        listed["judgement"] = replace(default, judgement_weight=1.0)
    return {**listed, "chosen": bundle.score}


def _get_default(bundle: Bundle) -> ScoreConfig:
    own = JUDGED if bundle.score.judgement is None else bundle.score
    return replace(own, judgement_weight=JUDGED.judgement_weight)


def _add_thresholds(
    bundle: Bundle,
    held_out: Sequence[Clip],
    scores: dict[str, ScoreConfig],
    engine: EngineName | None,
) -> Bundle:
    """Measure each score's threshold on held-out footage, as calibration does."""
    normal = bundle.calibration.normal
    if normal is None:
        raise ValueError(f"bundle {bundle.name} has no range of normal footage")
    detector = Detector(bundle, scores=tuple(scores.values()), engine=engine)
    options = CameraOptions(update=LIVE_UPDATE, skip_still=False)
    rows = measure_clips(detector, held_out, options)
    thresholds = {
        name: compute_threshold(rows, score, normal)
        for name, score in scores.items()
        if normal.covers(score)
    }
    return replace(bundle, calibration=replace(bundle.calibration, thresholds=thresholds))


def _read_labelled(entry: CameraEntry, bundle: Bundle) -> _Footage:
    tests = load_test_clips(Path(str(entry.labelled)))
    clips = read_clips((each.source for each in tests), bundle.frame_shape, whole=True)
    every = entry.every
    readers = [each.masks for each in tests if each.masks is not None]
    return _Footage(
        [Clip(clip.name, clip.frames[::every]) for clip in clips],
        [each.abnormal[::every] for each in tests],
        [read()[::every] for read in readers] if len(readers) == len(tests) else None,
    )


def _make_synthetic(
    held_out: Sequence[Clip], fps: float, scenes: int, strangers: Sequence[TrackedThing]
) -> _Footage:
    made = list(make_scenes(held_out, fps, REPORT_SEED, scenes_a_kind=scenes, strangers=strangers))
    if not made:
        raise ValueError("the held-out footage is too short for a scene")
    return _Footage(
        [each.clip for each in made],
        [each.abnormal for each in made],
        [each.masks for each in made],
    )


def _list_results(
    found: DetectorFigures, prefix: str, only: str | None = None
) -> dict[str, ScoreResult]:
    rbdc = found.regions.rbdc if found.regions else None
    return {
        (prefix + name).removesuffix(f", {only}"): _make_result(figures, rbdc)
        for name, figures in found.figures.items()
        if only in (None, name)
    }


def _make_result(figures: ScoreFigures, rbdc: float | None) -> ScoreResult:
    clips = figures.evaluation.clips
    labels = [clip.abnormal for clip in clips]
    outcome = figures.outcome
    return ScoreResult(
        causal=_to_interval(estimate_auc(labels, [clip.causal for clip in clips])),
        offline=_to_interval(estimate_auc(labels, [clip.offline for clip in clips])),
        labelled=outcome.labelled if outcome else None,
        found=outcome.found if outcome else None,
        false=outcome.false_events if outcome else None,
        rbdc=rbdc,
    )


def _to_interval(found: AucInterval | None) -> AucFigure | None:
    if found is None:
        return None
    return AucFigure(auc=round(found.auc, 2), low=round(found.low, 2), high=round(found.high, 2))
