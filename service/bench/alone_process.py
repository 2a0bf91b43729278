"""Run by the benchmark: the detector alone, with the engine and the threads that a worker has."""

from __future__ import annotations

import os
import sys
import time

from model.detector import Detector
from service import logs
from service.bench.children import AloneAnswer, AloneJob
from service.bench.footage import fitted_frames
from service.bench.network import detector_step
from service.infer.device import choose_threads
from service.infer.main import prepare
from service.infer.models import ModelPool
from service.infer.scheduler import MAX_BATCH
from service.settings import Settings

WAIT_S = 0.05
LEAST_STEPS = 3
MODEL_VARIABLE = "NORMWATCH_DEFAULT_MODEL"


def main() -> None:
    """Answer until there are no more questions."""
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
    for line in sys.stdin:
        answer = measured(loaded.detector, AloneJob.model_validate_json(line))
        print(answer.model_dump_json(), flush=True)


def measured(detector: Detector, job: AloneJob) -> AloneAnswer:
    """As many cameras as a batch holds, for so long."""
    cameras = min(job.cameras, MAX_BATCH)
    step = detector_step(detector, cameras)
    step()
    cpu_began, began = time.process_time(), time.perf_counter()
    steps = 0
    while steps < LEAST_STEPS or time.perf_counter() - began < job.seconds:
        step()
        steps += 1
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    frames = steps * cameras
    network_s = _network_cpu_s(detector, frames)
    return AloneAnswer(
        engine=str(detector.engine),
        fps=frames / wall_s,
        cpu_ms=1000.0 * cpu_s / frames,
        network_share=min(1.0, network_s * frames / cpu_s),
    )


def _network_cpu_s(detector: Detector, frames: int) -> float:
    """Processor time of one frame in the network alone: what it makes of a frame, unmeasured."""
    bundle = detector.bundle
    camera = detector.start()
    pictures = fitted_frames(bundle.frame_shape, bundle.config.context + 1)
    for picture in pictures[:-1]:
        detector.observe([camera], [picture])
    detector.picture(camera, pictures[-1])
    count = max(LEAST_STEPS, min(frames, 50))
    began = time.process_time()
    for _ in range(count):
        detector.picture(camera, pictures[-1])
    return (time.process_time() - began) / count


if __name__ == "__main__":
    main()
