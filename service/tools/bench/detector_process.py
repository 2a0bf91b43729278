"""Measures the detector alone, in a process that has a worker's engine and threads."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np

from model.bundles.bundle import Bundle
from model.detect.detector import Detector
from model.engines.choice import open_engine
from model.engines.engine import Engine, FrameStack
from model.engines.required_measures import find_required_measures
from model.frames import Frame
from service import logs
from service.infer.device import choose_threads
from service.infer.model_pool import ModelPool
from service.infer.scheduler import MAX_BATCH
from service.infer.worker_main import prepare
from service.settings import Settings
from service.tools.bench.bench_figures import BenchDetectorFigures
from service.tools.bench.camera_clips import fit_drawn_frames, read_video_frames
from service.tools.bench.children import DETECTOR_ANSWER, DetectorJob
from service.tools.bench.network_bench import FRAMES, make_detector_step

WAIT_S = 0.05
LEAST_STEPS = 3
MODEL_VARIABLE = "NORMWATCH_DEFAULT_MODEL"


def main() -> None:
    """Answer jobs from standard input until it ends."""
    logs.configure("WARNING")
    settings = Settings()
    device = prepare(settings)
    pool = ModelPool(
        [settings.user_models],
        device,
        engine=settings.engine,
        threads=choose_threads(settings.torch_threads),
    )
    model = os.environ[MODEL_VARIABLE]
    while (loaded := pool.get(model)) is None:
        time.sleep(WAIT_S)
    detector = loaded.detector
    # A second engine, to measure it without the detector.
    engine = open_engine(
        detector.engine,
        detector.bundle,
        find_required_measures(detector.bundle),
        device,
        choose_threads(settings.torch_threads),
    )
    for line in sys.stdin:
        answer = measure_detector(detector, engine, DetectorJob.model_validate_json(line))
        print(DETECTOR_ANSWER.dump_json(answer).decode(), flush=True)


def measure_detector(detector: Detector, engine: Engine, job: DetectorJob) -> BenchDetectorFigures:
    """Run the detector on as many of the cameras as fit a batch, for `job.seconds`."""
    cameras = min(job.cameras, MAX_BATCH)
    shape = detector.bundle.frame_shape
    pictures = (
        read_video_frames(Path(job.video), shape, FRAMES)
        if job.video
        else fit_drawn_frames(shape, FRAMES)
    )
    step = make_detector_step(detector, cameras, pictures)
    step()
    cpu_began, began = time.process_time(), time.perf_counter()
    steps = 0
    while steps < LEAST_STEPS or time.perf_counter() - began < job.seconds:
        step()
        steps += 1
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    frames = steps * cameras
    stacks = _make_stacks(pictures, detector.bundle.config.context + 1, cameras)
    engine_s = _measure_engine_cpu_s(engine, detector.bundle, stacks, job.seconds / 2.0)
    return BenchDetectorFigures(
        engine=str(detector.engine),
        fps=frames / wall_s,
        cpu_ms=1000.0 * cpu_s / frames,
        engine_cpu_ms=1000.0 * engine_s,
    )


def _measure_engine_cpu_s(
    engine: Engine, bundle: Bundle, stacks: Iterator[FrameStack], seconds: float
) -> float:
    """Measure the processor time that the engine takes for one frame."""
    stack = next(stacks)
    cameras = len(stack)
    items, reads = bundle.items.repeat(cameras, 1, 1), np.ones(cameras, bool)
    engine.run(stack, items, reads)
    cpu_began, began = time.process_time(), time.perf_counter()
    steps = 0
    while steps < LEAST_STEPS or time.perf_counter() - began < seconds:
        engine.run(next(stacks), items, reads)
        steps += 1
    return (time.process_time() - cpu_began) / (steps * cameras)


def _make_stacks(pictures: Sequence[Frame], length: int, cameras: int) -> Iterator[FrameStack]:
    """Yield batches in which all cameras see the same; each camera's last frames are stacked."""
    for start in cycle(range(len(pictures) - length + 1)):
        window = np.stack(pictures[start : start + length])  # (N, H, W) or (N, H, W, C)
        if window.ndim == 4:
            window = window.transpose(0, 3, 1, 2)
        yield np.repeat(window.reshape(1, -1, *window.shape[-2:]), cameras, axis=0)


if __name__ == "__main__":
    main()
