"""Compares each network's time a frame with what one core could do: counted work over peaks.

    taskset -c 0 .venv/bin/python -m scripts.roofline [--json F] [--seconds S] [--only NAME]

The floor, in ms a frame, is the larger of operations / peak and bytes / bandwidth, the network's in
the engine's precision and the rest in fp32. What stays in a cache is read faster than from memory:
where bytes decide (`by` says so), a frame may take less than the floor. Above 100% of it by compute
an engine needs fewer operations than were counted (as Winograd's convolutions do), or the machine
was slower when its peak was measured. Times are CPU times: others on the same core matter little.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from model.bundles import bundle as bundles
from model.bundles.bundle import Bundle
from model.bundles.catalog import list_bundles
from model.detect.detector import Detector
from model.engines.choice import list_engines, read_processor
from model.engines.names import EngineName
from model.network.cost import Precision, WorkPart, count_cost
from model.training.trainer import PRESETS
from service.tools.bench.camera_clips import fit_drawn_frames, play_back_and_forth
from service.tools.bench.presets import build_preset_bundle

MATRIX = 2048
"""Side: three matrices of it don't fit into a core's cache, and blocks of them do."""
COPY_BYTES = 256 * 2**20
ROUNDS = 3
LEAST_FRAMES = 5
MOST_FRAMES = 60
DRAWN_FRAMES = 40
WIDTH = 100
HEADINGS = ("network", "engine", "GFLOP", "MB", "FLOP/B", "floor", "by", "ms", "share")
VNNI = frozenset({"avx_vnni", "avx512_vnni", "amx_tile"})


@dataclass(slots=True)
class CorePeaks:
    """The best that one core does. It is measured before each network, as other processes can only
    reduce it."""

    name: str
    flop_s: dict[str, float] = field(default_factory=dict)
    """Floating-point or integer operations a second, by precision."""
    bandwidth_bytes_s: float = 0.0
    """Bytes a second read and written in a copy."""

    def measure(self) -> None:
        """Measure again, by PyTorch's own matrix products."""
        self._keep(Precision.FP32, _measure_matrix_flop_s(torch.float32))
        if read_processor().computes_bf16:
            self._keep(Precision.BF16, _measure_matrix_flop_s(torch.bfloat16))
        if read_processor().flags & VNNI:
            self._keep(Precision.INT8, _measure_int8_op_s())
        self.bandwidth_bytes_s = max(self.bandwidth_bytes_s, _measure_bandwidth())

    def _keep(self, precision: Precision, flop_s: float) -> None:
        self.flop_s[precision.value] = max(self.flop_s.get(precision.value, 0.0), flop_s)

    def __str__(self) -> str:
        peaks = ", ".join(f"{name} {rate / 1e9:.1f} GFLOP/s" for name, rate in self.flop_s.items())
        return f"{self.name}, one core: {peaks}; {self.bandwidth_bytes_s / 1e9:.1f} GB/s"


@dataclass(frozen=True, slots=True)
class RooflineRow:
    """A row of the table: one network in one engine."""

    name: str
    engine: str
    gflop: float
    """The network's operations."""
    mbytes: float
    """The size of its weights and activations, in the engine's precision."""
    intensity: float
    """Operations a byte."""
    floor_ms: float | None
    """None if the peak of this precision wasn't measured."""
    by: str
    """The resource that gives the floor."""
    measured_ms: float

    @property
    def share(self) -> float | None:
        """The floor's share of the measured time."""
        return None if self.floor_ms is None else self.floor_ms / self.measured_ms


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each network and engine")
    parser.add_argument("--only", nargs="*", help="names of bundles and presets")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    machine = CorePeaks(read_processor().name)
    timed: list[tuple[Bundle, EngineName, float]] = []
    for bundle in load_networks(options.only):
        for engine in list_engines(bundle):
            machine.measure()
            frame_s = time_frame_s(bundle, engine, options.seconds)
            timed.append((bundle, engine, frame_s))
            print(f"{bundle.name} {engine}: {1000.0 * frame_s:.1f} ms", flush=True)
    machine.measure()
    rows = [make_row(*each, machine) for each in timed]
    print(f"\n{machine}")
    Console(width=WIDTH).print(make_table(rows))
    if options.json:
        table = [{**asdict(row), "share": row.share} for row in rows]
        text = json.dumps({"machine": asdict(machine), "rows": table}, indent=1)
        options.json.write_text(text + "\n")


def make_table(rows: Sequence[RooflineRow]) -> Table:
    """Make a table with a row for each network and engine."""
    table = Table(*HEADINGS, box=box.SIMPLE_HEAD)
    for row in rows:
        figures = (f"{row.gflop:.2f}", f"{row.mbytes:.1f}", f"{row.intensity:.0f}")
        floor = "-" if row.floor_ms is None else f"{row.floor_ms:.1f}"
        share = "-" if row.share is None else f"{row.share:.0%}"
        table.add_row(
            row.name, row.engine, *figures, floor, row.by, f"{row.measured_ms:.1f}", share
        )
    return table


def load_networks(names: Sequence[str] | None) -> Iterator[Bundle]:
    """Yield the shipped bundles, and each preset untrained; of these only the named, if any are."""
    for info in list_bundles():
        if not names or info.name in names:
            yield bundles.load(info.path)
    for name in PRESETS:
        if not names or name in names:
            yield replace(build_preset_bundle(name), name=name)


def _time_best(work: Callable[[], object]) -> float:
    work()
    times: list[float] = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def _measure_matrix_flop_s(dtype: torch.dtype) -> float:
    one, other = (torch.rand(MATRIX, MATRIX).to(dtype) for _ in range(2))
    return 2.0 * MATRIX**3 / _time_best(lambda: one @ other)


def _measure_int8_op_s() -> float:
    one, other = (torch.randint(-8, 8, (MATRIX, MATRIX), dtype=torch.int8) for _ in range(2))
    return 2.0 * MATRIX**3 / _time_best(lambda: torch._int_mm(one, other))


def _measure_bandwidth() -> float:
    source = torch.zeros(COPY_BYTES, dtype=torch.uint8)
    target = torch.zeros_like(source)
    return 2.0 * COPY_BYTES / _time_best(lambda: target.copy_(source))


def make_row(bundle: Bundle, engine: EngineName, frame_s: float, machine: CorePeaks) -> RooflineRow:
    """Make a row from counted and measured figures."""
    precision = Precision(engine.value.rpartition("-")[2])
    counted = count_cost(bundle.config)
    network = counted.sum_parts(WorkPart.NETWORK)
    rest = counted.sum_parts(WorkPart.SCORING, WorkPart.UPDATE)
    moved = network.weight_bytes(precision) + network.activation_bytes(precision)
    memory_s = (moved + rest.activation_bytes(Precision.FP32)) / machine.bandwidth_bytes_s
    peak = machine.flop_s.get(precision.value)
    floor_s, by = None, "-"
    if peak is not None:
        compute_s = network.flop / peak + rest.flop / machine.flop_s[Precision.FP32.value]
        floor_s, by = max((compute_s, "compute"), (memory_s, "memory"))
    return RooflineRow(
        bundle.name,
        engine.value,
        network.flop / 1e9,
        moved / 1e6,
        network.intensity(precision),
        None if floor_s is None else 1000.0 * floor_s,
        by,
        1000.0 * frame_s,
    )


def time_frame_s(bundle: Bundle, engine: EngineName, seconds: float) -> float:
    """Measure one camera's median CPU seconds a frame in the detector: all but decoding."""
    detector = Detector(bundle, engine=engine, threads=1)
    camera = detector.start()
    frames = play_back_and_forth(fit_drawn_frames(bundle.frame_shape, DRAWN_FRAMES))
    for _ in range(bundle.config.context + 2):
        detector.observe([camera], [next(frames)])
    times: list[float] = []
    until = time.perf_counter() + seconds
    while len(times) < LEAST_FRAMES or (len(times) < MOST_FRAMES and time.perf_counter() < until):
        frame = next(frames)
        began = time.process_time()
        detector.observe([camera], [frame])
        times.append(time.process_time() - began)
    return statistics.median(times)


if __name__ == "__main__":
    main()
