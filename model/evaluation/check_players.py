"""Plays clips to a model, or to frame difference, for the check of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from model.bundles.bundle import Bundle
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.engines.choice import choose_engine
from model.engines.engine import EngineError
from model.engines.names import EngineName
from model.engines.required_measures import find_required_measures
from model.evaluation.accuracy import Scores, to_array
from model.evaluation.baselines import BaselineSetup, FrameDifference, run_baseline
from model.footage.clips import Clip
from model.network.update_rules import LIVE_UPDATE
from model.scoring.normal_range import NormalRange
from model.scoring.score_config import LIVE
from model.scoring.scorer import Scorer
from model.training.bundle_calibration import measure_clips, score_causally

OPTIONS = CameraOptions(update=LIVE_UPDATE, skip_still=False, watch_scene=False)
MOST_USUAL_FRAMES = 1000
"""Frame difference's range is measured on so many frames, at most."""


class Player(Protocol):
    """Scores clips as the service would."""

    def play(self, clip: Clip, on_frame: Callable[[], None]) -> Scores:
        """Score one clip by itself: the ranges start from those of normal footage."""


class ModelPlayer:
    """Plays to a model."""

    def __init__(self, bundle: Bundle, engine: EngineName | None) -> None:
        """Args: engine: None takes the fastest. Raises: ValueError: the bundle isn't calibrated."""
        normal = bundle.calibration.normal
        threshold = bundle.calibration.thresholds.get(bundle.score.name)
        if normal is None or not normal.covers(bundle.score) or threshold is None:
            raise ValueError(f"bundle {bundle.name} isn't calibrated: it has no threshold")
        self.threshold = threshold
        self._normal: NormalRange = normal
        self._score = bundle.score
        self._detector = Detector(bundle, engine=engine or _find_fastest(bundle))

    def play(self, clip: Clip, on_frame: Callable[[], None]) -> Scores:
        """Score one clip by itself, with a memory as trained."""
        return self.play_on([clip], on_frame)[0]

    def play_on(self, clips: Sequence[Clip], on_frame: Callable[[], None]) -> list[Scores]:
        """Score clips of one camera, in order, with a cut before each."""
        rows = measure_clips(self._detector, clips, OPTIONS, on_frame)
        scores = score_causally(rows, self._score, self._normal, self.threshold)
        return [to_array(each) for each in scores]


def _find_fastest(bundle: Bundle) -> EngineName | None:
    """Find the engine that the service would choose here, on one core."""
    try:
        required = find_required_measures(bundle, (bundle.score,))
        return choose_engine(bundle, required, "cpu", 1).engine
    except EngineError:
        return None


class FrameDifferencePlayer:
    """Plays to frame difference, pooled and placed in ranges as the network's error is."""

    def __init__(self, training_clips: Sequence[Clip], context: int) -> None:
        self._setup = BaselineSetup({LIVE.name: LIVE}, LIVE.error, context)
        usual = choose_usual(training_clips)
        run = run_baseline(FrameDifference(), [], usual, self._setup)
        self._normal = run.normal

    def play(self, clip: Clip, on_frame: Callable[[], None]) -> Scores:
        """Score one clip by itself."""
        run = run_baseline(FrameDifference(), [clip], [], self._setup, on_frame=on_frame)
        scorer = Scorer(LIVE, self._normal)
        return to_array([None if row is None else scorer.score(row) for row in run.rows[0]])


def choose_usual(training_clips: Sequence[Clip]) -> list[Clip]:
    """Return some frames of the beginning of each clip."""
    total = sum(map(len, training_clips))
    share = min(1.0, MOST_USUAL_FRAMES / total) if total else 1.0
    return [Clip(clip.name, clip.frames[: round(share * len(clip))]) for clip in training_clips]
