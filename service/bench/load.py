"""What the loads on a worker and on the whole service have in common: the plan, the time measured,
the detector alone beside it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType

from service.bench.children import AloneAnswer, AloneJob, Child
from service.bench.figures import AloneFigures, LoadFigures, Stage, ages, camera_rates
from service.bench.processes import NOT_OURS, Usage
from service.infer.device import usable_cores

WARM_UP_S = 180.0
"""Until every camera has a score, at most."""
SETTLE_S = 2.0
"""After that, before anything is measured."""
SAMPLE_S = 1.0
ALONE_S = 3.0
"""Of the detector alone, before each load and after it; no longer than the load."""
OTHERS = "others"
OnRow = Callable[[LoadFigures], object]


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What to measure."""

    model: str
    """A bundle's folder."""
    cameras: Sequence[int]
    seconds: float
    """Of each number of cameras."""
    fps: float | None = None
    """Of each camera; None is as many as are taken."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """`NORMWATCH_*` for our processes."""


class Alone(AbstractContextManager["Alone"]):
    """The detector alone, in a process that waits while the load is on."""

    def __init__(self, plan: LoadPlan) -> None:
        self._child = Child(
            "service.bench.alone_process",
            {**plan.settings, "NORMWATCH_DEFAULT_MODEL": plan.model},
        )
        self._seconds = min(ALONE_S, plan.seconds)
        self._answers: list[AloneAnswer] = []
        self.engine = ""
        """That it has, for our other processes to have the same; empty before `measure`."""

    def measure(self, cameras: int) -> None:
        """Once more. Raises: ChildProcessError: the detector can't be had."""
        job = AloneJob(cameras=cameras, seconds=self._seconds)
        answer = self._child.ask(job.model_dump_json())
        self._answers.append(AloneAnswer.model_validate_json(answer))
        self.engine = self._answers[-1].engine

    def figures(self) -> AloneFigures:
        """The mean of what was measured since the last time."""
        answers, self._answers = self._answers, []
        return AloneFigures(
            engine=answers[0].engine,
            fps=statistics.fmean(each.fps for each in answers),
            cpu_ms=statistics.fmean(each.cpu_ms for each in answers),
            network_share=statistics.fmean(each.network_share for each in answers),
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._child.close()


@dataclass(frozen=True, slots=True)
class Scored:
    """A frame, as far as the benchmark cares."""

    camera: int
    captured_at: float
    scored_at: float


@dataclass(frozen=True, slots=True)
class Span:
    """The time that is measured, in seconds since 1970."""

    start: float
    end: float

    def of(self, scored: Sequence[Scored]) -> list[Scored]:
        """What was scored in it."""
        return [each for each in scored if self.start <= each.scored_at < self.end]

    def counts(self, scored: Sequence[Scored], cameras: int) -> list[int]:
        """Frames of each camera."""
        counts = [0] * cameras
        for each in scored:
            counts[each.camera] += 1
        return counts


def pass_time(seconds: float, *, tick: Callable[[], object]) -> Span:
    """Let so many seconds pass, with a tick about every second."""
    start = time.time()
    until = time.monotonic() + seconds
    while (rest := until - time.monotonic()) > 0.0:
        time.sleep(min(SAMPLE_S, rest))
        tick()
    return Span(start, time.time())


def wait_until(condition: Callable[[], bool], complaint: Callable[[], str]) -> None:
    """Ask until it is true. Raises: TimeoutError: in the words of `complaint`."""
    until = time.monotonic() + WARM_UP_S
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"{complaint()} (waited {WARM_UP_S:g} s)")
        time.sleep(0.2)


def increase(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Of counters, those that have grown."""
    grown = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: count for name, count in grown.items() if count > 0}


def ours(cores: Mapping[str, float]) -> dict[str, float]:
    """Without the parts that only a benchmark has."""
    return {part: used for part, used in cores.items() if part not in NOT_OURS}


def beside(usage: Usage) -> dict[str, float]:
    """The rest of what the cores did: those parts, and other processes."""
    own = {part: used for part, used in usage.cores.items() if part in NOT_OURS}
    others = usage.busy_share * usable_cores() - sum(usage.cores.values())
    return {**own, OTHERS: max(0.0, others)}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a load gave, once it was on for a while."""

    span: Span
    scored: list[Scored]
    """In that span."""
    dropped: dict[str, int]
    usage: Usage
    scoring_thread: float | None
    """Cores used."""

    @property
    def seconds(self) -> float:
        """Of the span."""
        return self.span.end - self.span.start

    @property
    def fps(self) -> float:
        """Of all cameras."""
        return len(self.scored) / self.seconds


@dataclass(frozen=True, slots=True)
class Split:
    """Where processor time went, in cores."""

    stages: dict[Stage, float]
    processes: dict[str, float]
    """Ours, by part."""
    beside: dict[str, float]
    """Others."""


def load_figures(
    cameras: int, offered_fps: float | None, measured: Measured, split: Split, alone: AloneFigures
) -> LoadFigures:
    """A row of the table."""
    used = sum(split.processes.values())
    return LoadFigures(
        cameras=cameras,
        offered_fps=offered_fps,
        seconds=measured.seconds,
        frames=len(measured.scored),
        fps=measured.fps,
        fps_per_core=measured.fps / used if used > 0.0 and measured.scored else None,
        camera_fps=camera_rates(measured.span.counts(measured.scored, cameras), measured.seconds),
        age=ages([each.scored_at - each.captured_at for each in measured.scored]),
        dropped=measured.dropped,
        alone=alone,
        stages=split.stages,
        processes=split.processes,
        beside=split.beside,
        cores=usable_cores(),
        busy_share=measured.usage.busy_share,
        peak_memory_mb=measured.usage.peak_mb,
        memory=measured.usage.memory,
        scoring_thread=measured.scoring_thread,
    )
