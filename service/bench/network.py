"""The network with its scoring, frames from memory: each engine beside the reference form.

All take turns within one run, in bursts, so that whatever slows the machine slows all alike; a
ratio is of two neighbouring bursts. On a processor it is of the time that cores worked: on a busy
machine the clock also counts how long a process waits for a core, of which short bursts have less.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch

from model.bundle import Bundle
from model.cost import cost
from model.detector import Detector
from model.engines.choice import available, refusals
from model.engines.engine import EngineError
from model.engines.names import EngineName
from model.frames import FrameShape
from model.observation import CameraOptions
from model.reference_form import REFERENCE_CONFIG, ReferenceForm
from model.rules import LIVE_UPDATE
from service.bench.figures import EngineFigures, NetworkFigures, Spread, spread
from service.bench.footage import back_and_forth, fitted_frames
from service.errors import BadInput

FRAMES = 40
"""Drawn frames in memory."""
BURST_S = 0.3
"""Processor time of an engine between two turns of the reference; at least one step."""
LEAST_ROUNDS = 3
MATRIX = 1024
"""Side of the product that the peak is measured by."""
REFERENCE = "reference"
PEAK = "peak"
LEARNS_ALWAYS = 1e9
"""γ: each frame updates the memory, as with the reference form."""


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What to measure."""

    bundle: Bundle
    engines: Sequence[EngineName]
    seconds: float
    threads: int
    batch: int
    """Cameras in a step."""
    device: str = "cpu"


@dataclass(slots=True)
class _Contestant:
    """Something that is run in turn."""

    step: Callable[[], object]
    frames_a_step: int
    on_gpu: bool
    steps: int = 1
    wall_s: list[float] = field(default_factory=list)
    """Of a frame, one a burst."""
    core_s: list[float] = field(default_factory=list)

    def warm_up(self, burst_s: float) -> None:
        """Run it once, and choose how many steps make a burst."""
        self.step()
        began = time.process_time()
        self.step()
        self.steps = max(1, round(burst_s / max(time.process_time() - began, 1e-4)))

    def burst(self) -> None:
        """Take its turn."""
        cpu_began, began = time.process_time(), time.perf_counter()
        for _ in range(self.steps):
            self.step()
        wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
        count = self.steps * self.frames_a_step
        self.wall_s.append(wall_s / count)
        self.core_s.append((wall_s if self.on_gpu else cpu_s) / count)


def chosen_engines(bundle: Bundle, names: Sequence[str], device: str) -> list[EngineName]:
    """Those named, or all that this machine and this bundle can have.

    Raises: BadInput: there is no such engine, or none can be had.
    """
    try:
        named = [EngineName(name) for name in names]
    except ValueError:
        known = [each.value for each in EngineName]
        wrong = next(name for name in names if name not in known)
        raise BadInput("--engine", wrong, f"must be one of {', '.join(known)}") from None
    found = named or available(bundle, device)
    if not found:
        raise BadInput("--engine", None, "this machine can have none for this bundle")
    return found


def measure(
    plan: NetworkPlan, on_round: Callable[[int], object] = lambda _: None
) -> NetworkFigures:
    """Run the engines and the reference form by turns.

    Args: on_round: is told how many rounds were made.
    Raises: BadInput: an engine that was asked for can't be had.
    """
    on_gpu = plan.device != "cpu"
    with _threads(plan.threads):
        contestants = {
            REFERENCE: _Contestant(_reference_step(plan), plan.batch, on_gpu),
            **{
                name.value: _Contestant(_engine_step(plan, name), plan.batch, on_gpu)
                for name in plan.engines
            },
            PEAK: _Contestant(_product(plan.device), 1, on_gpu),
        }
        for name, contestant in contestants.items():
            contestant.warm_up(0.0 if name == REFERENCE else BURST_S)
        _run(list(contestants.values()), plan.seconds, on_round)
    return _figures(plan, contestants)


def _run(
    contestants: Sequence[_Contestant], seconds: float, on_round: Callable[[int], object]
) -> None:
    until = time.perf_counter() + seconds
    rounds = 0
    while rounds < LEAST_ROUNDS or time.perf_counter() < until:
        # There and back: what drifts in a round favours nobody in the long run.
        for contestant in contestants if rounds % 2 == 0 else reversed(contestants):
            contestant.burst()
        rounds += 1
        on_round(rounds)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before, before_cv = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(count)
    cv2.setNumThreads(1)  # as in the worker
    try:
        yield
    finally:
        torch.set_num_threads(before)
        cv2.setNumThreads(before_cv)


def _reference_step(plan: NetworkPlan) -> Callable[[], object]:
    form = ReferenceForm(plan.batch, device=plan.device)
    config = REFERENCE_CONFIG
    shape = FrameShape(config.height, config.width, config.channels)
    frames = back_and_forth(fitted_frames(shape, FRAMES))
    window = np.stack([next(frames) for _ in range(config.history + 1)])

    def step() -> None:
        nonlocal window
        window = np.concatenate((window[1:], next(frames)[None]))
        form.observe(np.broadcast_to(window, (plan.batch, *window.shape)).copy())

    return step


def _engine_step(plan: NetworkPlan, name: EngineName) -> Callable[[], object]:
    try:
        detector = Detector(plan.bundle, device=plan.device, engine=name, threads=plan.threads)
    except EngineError as error:
        raise BadInput("--engine", name.value, str(error)) from None
    return detector_step(detector, plan.batch)


def detector_step(detector: Detector, cameras: int) -> Callable[[], object]:
    """The next frame of so many cameras, as one batch; they have seen frames enough for scores."""
    bundle = detector.bundle
    states = [detector.start() for _ in range(cameras)]
    options = [CameraOptions(gamma=LEARNS_ALWAYS, update=LIVE_UPDATE)] * cameras
    frames = back_and_forth(fitted_frames(bundle.frame_shape, FRAMES))

    def step() -> None:
        detector.observe(states, [next(frames)] * cameras, options)

    for _ in range(bundle.config.context):
        step()
    return step


def _product(device: str) -> Callable[[], object]:
    one, other = (torch.rand(MATRIX, MATRIX, device=device) for _ in range(2))
    # Reading one number waits for a GPU.
    return lambda: float((one @ other)[0, 0])


def _figures(plan: NetworkPlan, contestants: dict[str, _Contestant]) -> NetworkFigures:
    peak = 2.0 * MATRIX**3 / min(contestants[PEAK].core_s)
    reference = contestants[REFERENCE]
    flop = cost(plan.bundle.config).of().flop
    engines: dict[str, EngineFigures] = {}
    for name in plan.engines:
        one = contestants[name.value]
        engines[name.value] = replace(
            _alone(one, flop, peak),
            ratio_per_core=_ratios(reference.core_s, one.core_s),
            ratio_wall=_ratios(reference.wall_s, one.wall_s),
        )
    refused = refusals(plan.bundle, plan.device)
    return NetworkFigures(
        bundle=plan.bundle.name,
        engine=min(engines, key=lambda name: engines[name].core_ms.median),
        threads=plan.threads,
        batch=plan.batch,
        seconds=plan.seconds,
        peak_gflop_s=peak / 1e9,
        reference=_alone(reference, cost(REFERENCE_CONFIG).of().flop, peak),
        engines=engines,
        refused={name.value: why for name, why in refused.items() if name not in plan.engines},
    )


def _ratios(reference: Sequence[float], other: Sequence[float]) -> Spread:
    return spread([one / two for one, two in zip(reference, other, strict=True)])


def _alone(contestant: _Contestant, flop: int, peak: float) -> EngineFigures:
    core = spread([1000.0 * value for value in contestant.core_s])
    reached = flop / (core.median / 1000.0)
    return EngineFigures(
        frame_ms=spread([1000.0 * value for value in contestant.wall_s]),
        core_ms=core,
        fps_per_core=1000.0 / core.median,
        gflop=flop / 1e9,
        gflop_s=reached / 1e9,
        peak_share=reached / peak,
    )
