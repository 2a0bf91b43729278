"""Measures what the review of footage leaves out when abnormal footage is mixed into normal one.

    python -m scripts.studies.study_footage --data SHARED

Runs of abnormal test frames of Ped2 are put among its training clips, until they are 0, 5 and 20 %
of all. Then the same review reads cameras without anything abnormal.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.data.datasets import load_test_clips
from model.evaluation.event_figures import find_runs
from model.footage.clips import Clip, read_clips
from model.footage.footage_search import find_footage
from model.frames import FrameShape
from model.training.footage_review import FootageReview, LeftOutReason, review_footage

RUN_FRAMES = 45
"""Something abnormal stays for so many frames, at most."""
DRAWS = 3
ABNORMAL = "abnormal"
CAMERAS = (
    ("coffee-room/training", 25.0 / 3.0, 3),
    ("cameras/car-park-clouds.mp4", 10.0, 3),
    ("clips/one-by-one-person-detection.mp4", 10.0, 3),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each share, then for each camera."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = parser.parse_args(arguments).data
    shape = FrameShape(256, 256, 1)
    usual = read_clips(find_footage([str(data / "ped2" / "training")]).sources, shape, 10.0)
    tests = load_test_clips(data / "ped2")
    clips = read_clips((each.source for each in tests), shape, whole=True)
    runs = [
        Clip(ABNORMAL, clip.frames[start : min(start + RUN_FRAMES, stop)])
        for clip, test in zip(clips, tests, strict=True)
        for first, stop in find_runs(test.abnormal)
        for start in range(first, stop - 10, RUN_FRAMES)
    ]
    for share in (0.0, 0.05, 0.2):
        found = np.mean(
            [_measure(_mix(usual, runs, share, seed), 10.0) for seed in range(DRAWS)], axis=0
        )
        print(
            f"{share:.0%} abnormal: of it {found[0]:.0%} left out, of the rest {found[1]:.1%}; "
            f"{found[2]:.2f} ms a frame",
            flush=True,
        )
    for name, fps, channels in CAMERAS:
        sources = find_footage([str(data / name)]).sources
        footage = read_clips(sources, FrameShape(256, 256, channels), fps)
        _, wrong, frame_ms = _measure(footage, fps)
        print(f"{name}: {wrong:.1%} left out as unusual; {frame_ms:.2f} ms a frame", flush=True)


def _mix(usual: Sequence[Clip], runs: Sequence[Clip], share: float, seed: int) -> list[Clip]:
    wanted = share / (1.0 - share) * sum(map(len, usual))
    random = np.random.default_rng(seed)
    mixed = list(usual)
    for index in random.permutation(len(runs)):
        if sum(len(clip) for clip in mixed if clip.name == ABNORMAL) >= wanted:
            break
        mixed.insert(int(random.integers(len(mixed) + 1)), runs[int(index)])
    return mixed


def _measure(clips: Sequence[Clip], fps: float) -> tuple[float, float, float]:
    """Return the shares of abnormal and of other frames that are left out as unusual, and the
    processor's milliseconds a frame."""
    began = time.process_time()
    review = review_footage(clips, fps)
    spent = time.process_time() - began
    left_out = _find_unusual(review, sum(map(len, clips)), fps)
    abnormal = np.concatenate([np.full(len(clip), clip.name == ABNORMAL) for clip in clips])
    wrong = float(left_out[~abnormal].mean())
    right = float(left_out[abnormal].mean()) if abnormal.any() else 0.0
    return right, wrong, 1000.0 * spent / len(left_out)


def _find_unusual(review: FootageReview, frames: int, fps: float) -> NDArray[np.bool_]:
    left_out = np.zeros(frames, np.bool_)
    for each in review.left_out:
        if each.reason is LeftOutReason.UNUSUAL:
            left_out[round(each.start_s * fps) : round(each.end_s * fps)] = True
    return left_out


if __name__ == "__main__":
    main()
