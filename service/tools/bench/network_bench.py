"""Measures the network with its scoring in each engine, against the reference form.

All take turns within one run, in bursts, so that other programs slow all of them alike; a ratio
compares two neighbouring bursts. On a processor it compares the time that cores worked: on a busy
machine the clock also counts how long a process waits for a core, and short bursts wait less.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch

from model.bundles.bundle import Bundle
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.engines.choice import find_refusals
from model.engines.engine import EngineError
from model.engines.names import EngineName
from model.frames import Frame, FrameShape
from model.network.cost import count_cost
from model.network.update_rules import LIVE_UPDATE
from service.errors import BadInput
from service.tools.bench.bench_figures import EngineFigures, NetworkFigures, Spread, compute_spread
from service.tools.bench.camera_clips import fit_drawn_frames, play_back_and_forth
from service.tools.bench.reference_form import REFERENCE_CONFIG, ReferenceForm

FRAMES = 40
"""Number of drawn frames in memory."""
BURST_S = 0.3
"""Processor time of an engine's turn; a turn has one step at least."""
LEAST_ROUNDS = 3
MATRIX = 1024
"""Side of the matrices whose product measures a core's peak."""
REFERENCE = "reference"
PEAK = "peak"
LEARNS_ALWAYS = 1e9
"""γ with which each frame updates the memory, as in the reference form."""


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """Says what to measure."""

    bundle: Bundle
    engines: Sequence[EngineName]
    seconds: float
    threads: int
    batch: int
    """Number of cameras in a step."""
    device: str = "cpu"


@dataclass(slots=True)
class _Contestant:
    """An engine, or the reference, that runs in turn with others."""

    step: Callable[[], object]
    frames_a_step: int
    on_gpu: bool
    steps: int = 1
    wall_s: list[float] = field(default_factory=list)
    """Wall time of a frame, one value a burst."""
    core_s: list[float] = field(default_factory=list)

    def warm_up(self, burst_s: float) -> None:
        """Run once, and choose how many steps make a burst."""
        self.step()
        began = time.process_time()
        self.step()
        self.steps = max(1, round(burst_s / max(time.process_time() - began, 1e-4)))

    def run_burst(self) -> None:
        """Run one burst, and note its times."""
        cpu_began, began = time.process_time(), time.perf_counter()
        for _ in range(self.steps):
            self.step()
        wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
        count = self.steps * self.frames_a_step
        self.wall_s.append(wall_s / count)
        self.core_s.append((wall_s if self.on_gpu else cpu_s) / count)


def measure(
    plan: NetworkPlan, on_round: Callable[[int], object] = lambda _: None
) -> NetworkFigures:
    """Run the engines and the reference form by turns.

    Args: on_round: called with the number of finished rounds.
    Raises: BadInput: a named engine can't run.
    """
    on_gpu = plan.device != "cpu"
    with _use_threads(plan.threads):
        contestants = {
            REFERENCE: _Contestant(_make_reference_step(plan), plan.batch, on_gpu),
            **{
                name.value: _Contestant(_make_engine_step(plan, name), plan.batch, on_gpu)
                for name in plan.engines
            },
            PEAK: _Contestant(_make_product(plan.device), 1, on_gpu),
        }
        for name, contestant in contestants.items():
            contestant.warm_up(0.0 if name == REFERENCE else BURST_S)
        _run(list(contestants.values()), plan.seconds, on_round)
    return _make_figures(plan, contestants)


def _run(
    contestants: Sequence[_Contestant], seconds: float, on_round: Callable[[int], object]
) -> None:
    until = time.perf_counter() + seconds
    rounds = 0
    while rounds < LEAST_ROUNDS or time.perf_counter() < until:
        # Forwards, then backwards, so that drift within a round favours no engine.
        for contestant in contestants if rounds % 2 == 0 else reversed(contestants):
            contestant.run_burst()
        rounds += 1
        on_round(rounds)


@contextmanager
def _use_threads(count: int) -> Iterator[None]:
    before, before_cv = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(count)
    cv2.setNumThreads(1)  # as in the worker
    try:
        yield
    finally:
        torch.set_num_threads(before)
        cv2.setNumThreads(before_cv)


def _make_reference_step(plan: NetworkPlan) -> Callable[[], object]:
    form = ReferenceForm(plan.batch, device=plan.device)
    config = REFERENCE_CONFIG
    shape = FrameShape(config.height, config.width, config.channels)
    frames = play_back_and_forth(fit_drawn_frames(shape, FRAMES))
    window = np.stack([next(frames) for _ in range(config.history + 1)])

    def step() -> None:
        nonlocal window
        window = np.concatenate((window[1:], next(frames)[None]))
        form.observe(np.broadcast_to(window, (plan.batch, *window.shape)).copy())

    return step


def _make_engine_step(plan: NetworkPlan, name: EngineName) -> Callable[[], object]:
    try:
        detector = Detector(plan.bundle, device=plan.device, engine=name, threads=plan.threads)
    except EngineError as error:
        raise BadInput("--engine", name.value, str(error)) from None
    return make_detector_step(detector, plan.batch)


def make_detector_step(
    detector: Detector, cameras: int, pictures: Sequence[Frame] = ()
) -> Callable[[], object]:
    """Return a function that scores the next frame of all cameras, which are past their warm-up.

    Args: pictures: what the cameras see; the drawn scene if empty.
    """
    bundle = detector.bundle
    states = [detector.start() for _ in range(cameras)]
    options = [CameraOptions(gamma=LEARNS_ALWAYS, update=LIVE_UPDATE)] * cameras
    frames = play_back_and_forth(pictures or fit_drawn_frames(bundle.frame_shape, FRAMES))

    def step() -> None:
        detector.observe(states, [next(frames)] * cameras, options)

    for _ in range(bundle.config.context):
        step()
    return step


def _make_product(device: str) -> Callable[[], object]:
    one, other = (torch.rand(MATRIX, MATRIX, device=device) for _ in range(2))
    # Reading one number waits for a GPU.
    return lambda: float((one @ other)[0, 0])


def _make_figures(plan: NetworkPlan, contestants: dict[str, _Contestant]) -> NetworkFigures:
    peak = 2.0 * MATRIX**3 / min(contestants[PEAK].core_s)
    reference = contestants[REFERENCE]
    flop = count_cost(plan.bundle.config).sum_parts().flop
    engines: dict[str, EngineFigures] = {}
    for name in plan.engines:
        one = contestants[name.value]
        engines[name.value] = replace(
            _summarise(one, flop, peak),
            ratio_per_core=_compare(reference.core_s, one.core_s),
            ratio_wall=_compare(reference.wall_s, one.wall_s),
        )
    refused = find_refusals(plan.bundle, plan.device)
    return NetworkFigures(
        bundle=plan.bundle.name,
        engine=min(engines, key=lambda name: engines[name].core_ms.median),
        threads=plan.threads,
        batch=plan.batch,
        seconds=plan.seconds,
        peak_gflop_s=peak / 1e9,
        reference=_summarise(reference, count_cost(REFERENCE_CONFIG).sum_parts().flop, peak),
        engines=engines,
        refused={name.value: why for name, why in refused.items() if name not in plan.engines},
    )


def _compare(reference: Sequence[float], other: Sequence[float]) -> Spread:
    return compute_spread([one / two for one, two in zip(reference, other, strict=True)])


def _summarise(contestant: _Contestant, flop: int, peak: float) -> EngineFigures:
    core = compute_spread([1000.0 * value for value in contestant.core_s])
    reached = flop / (core.median / 1000.0)
    return EngineFigures(
        frame_ms=compute_spread([1000.0 * value for value in contestant.wall_s]),
        core_ms=core,
        fps_per_core=1000.0 / core.median,
        gflop=flop / 1e9,
        gflop_s=reached / 1e9,
        peak_share=reached / peak,
    )
