"""Measures whether the network can run on the changing part of the picture alone: how much of it
changes, what a smaller picture costs, and what the scores lose. docs/studies/tiles.md has answers.

    python scripts/studies/study_tiles.py timing --bundle ped2-fast
    python scripts/studies/study_tiles.py activity ../shared/data
    python scripts/studies/study_tiles.py borders ../shared/data/ped2 --bundle ped2-fast
    python scripts/studies/study_tiles.py exactness ../shared/data/ped2 --json FILE
    python scripts/studies/study_tiles.py exactness ../shared/data/coffee-room --every 2 \\
        --fps 12.5 --bundle BUNDLE      # made by: normwatch train ... --preset fast --fps 12.5
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from active_places import (
    COVERINGS,
    NOISE_TIMES,
    PLACE,
    WHOLE,
    WINDOW,
    Activity,
    Covering,
    Rect,
    average_blocks,
    estimate_noise,
    find_box,
    find_cost,
)
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from model.bundles import bundle as bundles
from model.bundles.bundle import Bundle
from model.bundles.catalog import find
from model.data.datasets import load_test_clips
from model.detect.detector import Detector, wanted_of
from model.detect.observation import CameraOptions
from model.engines.choice import make_program, open_engine
from model.engines.engine import Engine, EngineOutput, FrameStack
from model.engines.names import EngineName
from model.evaluation import camera_pass
from model.evaluation.event_figures import measure_at_recall, measure_events
from model.evaluation.protocol import Evaluation, evaluate_scores
from model.events.event_detection import EventRules
from model.footage.clips import Clip, read_clips
from model.footage.footage_search import find_footage
from model.frames import FrameShape
from model.network.update_rules import LIVE_UPDATE
from model.scoring.required_measures import find_required_measures

TIMED = ((64, 64), (128, 128), (128, 192), (128, 256), (192, 192), (192, 256), (256, 256))
BANDS = ((0, 8), (8, 16), (16, 24), (24, 32), (32, 48), (48, 64))
"""Distances from a tile's edge in pixels."""
SHAPE = FrameShape(256, 256, 1)
MOST_FPS = 12.5
RECALL = 0.9
"""Events are compared at the bundle's threshold, and at the highest one at which full computation
reaches this recall,"""
SWEPT = np.arange(0.80, 0.995, 0.01)
"""and at 20 thresholds: these quantiles of full computation's scores."""
READS = np.ones(1, np.bool_)

Results = dict[str, dict[str, float]]


def measure_activity(clips: Sequence[Clip], activity: Activity, fps: float) -> dict[str, float]:
    """Measure the active share of frames, and each covering's cost, in % of whole pictures.

    Shares and areas are means over the frames in which something is active.
    """
    names = [covering.name for covering in COVERINGS]
    shares: dict[str, list[float]] = {name: [] for name in ("places", "box", *names)}
    costs: dict[str, list[float]] = {name: [] for name in names}
    frames = 0
    for clip in clips:
        activity.cut()
        for means in average_blocks(np.asarray(clip.frames)):
            active = activity.take(means)
            frames += active is not None
            if active is None or not active.any():
                continue
            shares["places"].append(float(active.mean()))
            shares["box"].append(find_box(active).share)
            for covering in COVERINGS:
                rects = covering.cover(active)
                costs[covering.name].append(sum(map(find_cost, rects)))
                shares[covering.name].append(sum(rect.share for rect in rects))
    found = len(shares["places"])
    result = {"frames": float(frames), "still": 100.0 * (1.0 - found / frames)}
    result |= {f"area {name}": 100.0 * sum(each) / max(found, 1) for name, each in shares.items()}
    # Once a second the whole picture is computed.
    for name, each in {"gate": [1.0] * found, **costs}.items():
        result[f"time {name}"] = 100.0 * (1.0 / fps + (1.0 - 1.0 / fps) * sum(each) / frames)
    return result


def measure_all_activity(data: Path, times: float) -> Results:
    """Measure the activity of all footage in `../shared/data`."""
    results: Results = {}
    for name, clips, normal in _cameras(data):
        fps = 10.0 if "ped2" in name.lower() else MOST_FPS
        noise = estimate_noise(normal)
        found = measure_activity(clips, Activity(noise, times), fps)
        results[name] = {"noise": float(np.median(noise))} | found
        show(name, results[name])
    return results


def _cameras(data: Path) -> Iterator[tuple[str, list[Clip], list[Clip]]]:
    """Yield name, clips, and the footage from which the noise is estimated."""
    for folder in (data / "ped2", data / "coffee-room"):
        normal = read_footage(folder / "training")
        yield f"{folder.name} training", normal, normal
        yield f"{folder.name} test", read_footage(folder / "testing"), normal
    for video in sorted((*data.glob("cameras/*.mp4"), *data.glob("clips/*.mp4"))):
        clips = read_footage(video)
        yield video.stem, clips, clips


def read_footage(path: Path) -> list[Clip]:
    """Read all footage in a folder or file; videos at 12.5 frames a second at most."""
    sources = find_footage([str(path)]).sources
    images = all(source.is_images for source in sources)
    return read_clips(sources, SHAPE, None if images else MOST_FPS)


class EnginePool:
    """Engines of one bundle for pictures of several sizes, each opened when it is first needed."""

    def __init__(self, bundle: Bundle, engine: EngineName) -> None:
        self.bundle, self._engine = bundle, engine
        self._opened: dict[tuple[int, int], Engine] = {}

    def find(self, height: int, width: int) -> Engine:
        """Return the engine for pictures of this size."""
        if (height, width) not in self._opened:
            config = replace(self.bundle.config, height=height, width=width)
            bundle, wanted = replace(self.bundle, config=config), wanted_of(self.bundle)
            self._opened[height, width] = open_engine(self._engine, bundle, wanted, "cpu", 1)
        return self._opened[height, width]

    def compute(
        self, rect: Rect, frames: FrameStack, items: Tensor, reads: NDArray[np.bool_]
    ) -> list[Tensor]:
        """Compute a part's picture and judgement, (h, w), and queries, (rows, columns, C)."""
        crop = np.ascontiguousarray(frames[:, :, *rect.to_slices(PLACE)])
        output = self.find(*crop.shape[2:]).run(crop, items, reads, READS)
        if output.shown is None or output.shown.judged is None:
            raise ValueError("the bundle must judge")
        queries = output.queries.reshape(rect.bottom - rect.top, rect.right - rect.left, -1)
        return [output.pixels.predicted[0, 0], output.pixels.judged[0, 0], queries]


class TiledEngine:
    """Computes the parts that changed, keeps the rest of earlier frames, and measures the whole.

    It serves one camera, and has only what `Detector.observe` calls of an engine.
    """

    name = EngineName.OPENVINO_INT8
    computes_parts = False
    """It chooses the parts itself."""

    def __init__(
        self, pool: EnginePool, covering: Covering | None, activity: Activity, period: int
    ) -> None:
        """Args: covering: None computes whole pictures. period: frames between whole pictures."""
        self._pool, self._covering = pool, covering
        self._activity, self._period = activity, period
        self._measuring = make_program(pool.bundle, find_required_measures(pool.bundle)).measuring
        self._last: FrameStack | None = None
        self._kept: list[Tensor] = []
        """The whole picture, as `EnginePool.compute` returns it."""
        self._age = 0
        self.costs: list[float] = []
        """The cost of each frame, in whole pictures."""

    def run(
        self, frames: FrameStack, items: Tensor, reads: NDArray[np.bool_], *_: object
    ) -> EngineOutput:
        """Predict and measure a batch of one frame, as an engine does."""
        rects = self._choose_rects(frames[0])
        self.costs.append(sum(map(find_cost, rects)))
        for rect in rects:
            found = self._pool.compute(rect, frames, items, reads)
            if rect == WHOLE:
                self._kept = [each.clone() for each in found]
            else:
                self._paste(rect, found)
        predicted, judged, queries = self._kept
        flat = queries.flatten(0, 1)[None].clone()
        columns, heat = self._measuring(
            predicted[None, None], flat, items, torch.from_numpy(frames), judged[None, None]
        )
        return EngineOutput(columns.numpy(), heat.numpy(), flat)

    def _choose_rects(self, stack: NDArray[np.uint8]) -> list[Rect]:
        follows = self._last is not None and np.array_equal(stack[:-1], self._last[1:])
        self._last = stack.copy()
        if not follows:
            self._activity.cut()
        active = None
        for means in average_blocks(stack[-1:] if follows else stack):
            active = self._activity.take(means)
        self._age += 1
        if self._covering is None or active is None or self._age >= self._period:
            self._age = 0
            return [WHOLE]
        return self._covering.rects(active)

    def _paste(self, rect: Rect, found: Sequence[Tensor]) -> None:
        inner = rect.shrink(self._covering.margin if self._covering else 0)
        there = inner.shift(-rect.top, -rect.left)
        for kept, new, step in zip(self._kept, found, (PLACE, PLACE, 1), strict=True):
            kept[inner.to_slices(step)] = new[there.to_slices(step)]


class TiledDetector(Detector):
    """A detector that runs on a `TiledEngine`."""

    def __init__(self, bundle: Bundle, tiled: TiledEngine) -> None:
        super().__init__(bundle)
        self._engine = tiled


def measure_exactness(
    pool: EnginePool,
    data: Path,
    every: int,
    most: int | None,
    fps: float,
    coverings: Sequence[Covering],
) -> Results:
    """Measure each covering's AUC, events, and rank correlation with full computation.

    Raises: ValueError: the bundle has no range of normal footage.
    """
    bundle, labelled = pool.bundle, load_test_clips(data)[:most]
    threshold, normal = bundle.calibration.thresholds[bundle.score.name], bundle.calibration.normal
    if normal is None:
        raise ValueError("the bundle has no range of normal footage")
    whole = read_clips((clip.source for clip in labelled), SHAPE, whole=True)
    clips = [Clip(clip.name, clip.frames[::every]) for clip in whole]
    labels = [clip.abnormal[::every] for clip in labelled]
    noise = estimate_noise(read_footage(data / "training"))
    results: Results = {}
    truth: NDArray[np.float64] | None = None
    lower, expected = threshold, list[tuple[int, int]]()
    for covering in (None, *coverings):
        name = covering.name if covering else "full"
        tiled = TiledEngine(pool, covering, Activity(noise), round(fps))
        rows = camera_pass.run_pass(
            TiledDetector(bundle, tiled), clips, CameraOptions(update=LIVE_UPDATE)
        )
        names = [clip.name for clip in clips]
        found = evaluate_scores(bundle.score, normal, names, rows.rows, labels, threshold=threshold)
        scores = _scores(found)
        causal = [clip.causal for clip in found.clips]
        if truth is None:
            truth = scores
            (reached,) = measure_at_recall(causal, labels, EventRules(), fps, (RECALL,))
            lower = reached.threshold or threshold
        events = measure_events(causal, labels, threshold, EventRules(), fps)
        more = measure_events(causal, labels, lower, EventRules(), fps)
        swept = [
            measure_events(causal, labels, float(each), EventRules(), fps)
            for each in np.quantile(truth, SWEPT)
        ]
        counts = [(each.found, each.false_events) for each in swept]
        expected = expected or counts
        results[name] = {
            "AUC": found.causal.micro or 0.0,
            "rank correlation": float(spearmanr(truth, scores).statistic),
            "largest difference": float(np.abs(truth - scores).max()),
            "events found": events.found,
            "false events": events.false_events,
            "median delay s": events.median_delay_s or 0.0,
            "found at 90 %": more.found,
            "false at 90 %": more.false_events,
            "delay at 90 % s": more.median_delay_s or 0.0,
            "same found": sum(a[0] == b[0] for a, b in zip(counts, expected, strict=True)),
            "same false": sum(a[1] == b[1] for a, b in zip(counts, expected, strict=True)),
            "found in all": sum(a for a, _ in counts),
            "false in all": sum(b for _, b in counts),
            "time": 100.0 * float(np.mean(tiled.costs)),
        }
        show(name, results[name])
    return results


def _scores(found: Evaluation) -> NDArray[np.float64]:
    scores = np.concatenate([clip.causal for clip in found.clips])
    return np.asarray(scores[~np.isnan(scores)])


def measure_borders(pool: EnginePool, data: Path) -> Results:
    """Measure how a 128x128 tile in the middle differs from the full picture, by `BANDS`."""
    tile = Rect(4, 4, 12, 12)
    differ: list[NDArray[np.float32]] = []
    for clip in read_footage(data / "testing"):
        for start in range(0, len(clip) - WINDOW, 20):
            stack = np.asarray(clip.frames[start : start + WINDOW])[None]
            full, part = (
                pool.compute(rect, stack, pool.bundle.items, READS)[:2] for rect in (WHOLE, tile)
            )
            pairs = zip(full, part, strict=True)
            differ.append(np.stack([(a[tile.to_slices(PLACE)] - b).abs() for a, b in pairs]))
    means = np.mean(differ, axis=0)
    edge = np.minimum(np.arange(128), np.arange(128)[::-1])
    far = np.minimum(edge[:, None], edge)
    results: Results = {}
    for name, mean in zip(("picture", "judgement"), means, strict=True):
        results[name] = {f"{a}-{b}": float(mean[(far >= a) & (far < b)].mean()) for a, b in BANDS}
        show(name, results[name])
    return results


def time_engines(bundle: Bundle, rounds: int) -> Results:
    """Measure milliseconds of processor time a call, by engine and size, in turns."""
    random = np.random.default_rng(0)
    names = [EngineName.OPENVINO_FP32, *([EngineName.OPENVINO_INT8] if bundle.int8 else [])]
    pools = {name: EnginePool(bundle, name) for name in names}
    spent: dict[str, dict[tuple[int, int], list[float]]] = {name: {} for name in names}
    turns = [(name, size) for name in names for size in TIMED]
    for turn in range(rounds):
        for key, size in turns[:: 1 if turn % 2 else -1]:
            stack = random.integers(0, 256, (1, bundle.config.context + 1, *size), dtype=np.uint8)
            engine = pools[key].find(*size)
            began = time.process_time()
            engine.predict(stack, bundle.items, READS)
            took = 1000.0 * (time.process_time() - began)
            spent[key].setdefault(size, []).append(took)
    results: Results = {}
    for name, sizes in spent.items():
        medians = [float(np.median(took)) for took in sizes.values()]
        slope, fixed = np.polyfit([h * w / 256**2 for h, w in sizes], medians, 1)
        row = {f"{h}x{w}": took for (h, w), took in zip(sizes, medians, strict=True)}
        results[name] = row | {"fixed": float(fixed), "slope": float(slope)}
        show(name, results[name])
    return results


def show(name: str, row: dict[str, float]) -> None:
    """Print a row as it is found."""
    print(f"{name}:", *(f"{key} {value:.4g}," for key, value in row.items()), flush=True)


def main() -> None:
    """Run one part of the study."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("part", choices=("timing", "activity", "borders", "exactness"))
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--bundle", default="ped2-fast", help="folder or name")
    parser.add_argument("--every", type=int, default=1, help="score every so many frames")
    parser.add_argument("--clips", type=int, help="score only so many test clips")
    parser.add_argument("--fps", type=float, default=10.0, help="of the frames that are scored")
    parser.add_argument("--rounds", type=int, default=150, help="of the timing")
    parser.add_argument("--times", type=float, default=NOISE_TIMES, help="the noise is a change")
    known = [covering.name for covering in COVERINGS]
    parser.add_argument("--coverings", nargs="+", choices=known, default=known, help="of exactness")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    folder = Path(asked.bundle)
    bundle = bundles.load(folder if folder.is_dir() else find(asked.bundle))
    pool = EnginePool(bundle, EngineName.OPENVINO_INT8 if bundle.int8 else EngineName.OPENVINO_FP32)
    if asked.part == "timing":
        results = time_engines(bundle, asked.rounds)
    elif asked.part == "borders":
        results = measure_borders(pool, asked.data)
    elif asked.part == "exactness":
        coverings = [covering for covering in COVERINGS if covering.name in asked.coverings]
        results = measure_exactness(
            pool, asked.data, asked.every, asked.clips, asked.fps, coverings
        )
    else:
        results = measure_all_activity(asked.data, asked.times)
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
