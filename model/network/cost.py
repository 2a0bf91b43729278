"""Counts the cost of one frame from a network's configuration: multiply-adds, parameters, and the
values that are read and written. Torch-free: nothing is built or run.

Counted as the service runs it, each batch norm folded into its convolution, which reads its input
once and writes its output once, with activation and concatenation in the same pass: less than that
no program moves, unless several layers share a pass. Element by element work has values but no
multiply-adds. Padding counts as places, as in PyTorch's own counter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from model.network.network_config import MemoryKind, NetConfig, Task
from model.scoring.score_config import JUDGED, LIVE, ErrorKind, ErrorStep

KERNEL = 3
"""Side of all the network's convolutions."""


class WorkPart(StrEnum):
    """A part of a frame's work."""

    NETWORK = "network"
    SCORING = "scoring"
    UPDATE = "update"
    """The update of the memory by a frame below γ."""


class Precision(StrEnum):
    """A format of numbers."""

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"

    @property
    def bytes(self) -> int:
        """Bytes of one number."""
        return {Precision.FP32: 4, Precision.BF16: 2, Precision.INT8: 1}[self]


@dataclass(frozen=True, slots=True)
class Work:
    """The work for one frame of one camera."""

    multiply_adds: int = 0
    parameters: int = 0
    """Learned values, batch norms included; memory items, a camera's own, are left out."""
    weights: int = 0
    """Values of the network, batch norms folded, that are read once for a batch of cameras."""
    read: int = 0
    """Values of pictures, features, queries and items."""
    written: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.multiply_adds + other.multiply_adds,
            self.parameters + other.parameters,
            self.weights + other.weights,
            self.read + other.read,
            self.written + other.written,
        )

    @property
    def flop(self) -> int:
        """Floating-point operations: a multiply-add is two."""
        return 2 * self.multiply_adds

    def weight_bytes(self, precision: Precision) -> int:
        """Bytes of weights that are read for a batch."""
        return precision.bytes * self.weights

    def activation_bytes(self, precision: Precision) -> int:
        """Bytes that are read and written for each camera of a batch."""
        return precision.bytes * (self.read + self.written)

    def intensity(self, precision: Precision, batch: int = 1) -> float:
        """Compute the operations a byte moved, in a batch of so many cameras."""
        moved = self.weight_bytes(precision) + batch * self.activation_bytes(precision)
        return batch * self.flop / moved


@dataclass(frozen=True, slots=True)
class LayerCost:
    """A line of the table."""

    part: WorkPart
    stage: str
    """A prefix of modules' names, such as `encoder.stages.0`."""
    name: str
    """A convolution has its module's name."""
    work: Work


@dataclass(frozen=True, slots=True)
class Cost:
    """The table of layers, in the order in which they run."""

    config: NetConfig
    layers: tuple[LayerCost, ...]

    def sum_parts(self, *parts: WorkPart) -> Work:
        """Sum the work of these parts, or of all where none is named."""
        return sum((each.work for each in self.layers if not parts or each.part in parts), Work())

    def compute_floor_s(
        self, precision: Precision, *, flop_s: float, bytes_s: float, batch: int = 1
    ) -> float:
        """Compute the least seconds of the network in a batch of so many cameras, on a machine of
        that peak and that bandwidth, where each layer's values go through memory: the sum, over the
        layers, of the longer of computing and moving."""
        return sum(
            max(
                batch * layer.work.flop / flop_s,
                (
                    layer.work.weight_bytes(precision)
                    + batch * layer.work.activation_bytes(precision)
                )
                / bytes_s,
            )
            for layer in self.layers
            if layer.part is WorkPart.NETWORK
        )

    def sum_stages(self) -> dict[str, Work]:
        """Sum the work of each stage, in order."""
        sums: dict[str, Work] = {}
        for layer in self.layers:
            sums[layer.stage] = sums.get(layer.stage, Work()) + layer.work
        return sums


def count_cost(config: NetConfig) -> Cost:
    """Count a frame's work, scored as such a network's bundles are by default: `JUDGED`
    where it judges, else `LIVE`."""
    layers = (
        *_count_encoder(config),
        *_count_read(config),
        *_count_decoder(config),
        *_count_scoring(config),
    )
    return Cost(config, (*layers, *_count_update(config)))


def _count_convolution(
    stage: str, index: str, channels: tuple[int, int], places: int, *, norm: bool = True
) -> LayerCost:
    """Count a 3 x 3 convolution with stride 1 on so many places."""
    n_in, n_out = channels
    weights = KERNEL**2 * n_in * n_out
    work = Work(
        multiply_adds=weights * places,
        parameters=weights + n_out + (2 * n_out if norm else 0),
        weights=weights + n_out,
        read=n_in * places,
        written=n_out * places,
    )
    return LayerCost(WorkPart.NETWORK, stage, f"{stage}.{index}" if index else stage, work)


def _count_upsampling(stage: str, channels: tuple[int, int], places: int) -> LayerCost:
    """Count a transposed convolution on so many places, to four times as many."""
    n_in, n_out = channels
    weights = KERNEL**2 * n_in * n_out
    work = Work(
        multiply_adds=weights * places,
        parameters=weights + 3 * n_out,
        weights=weights + n_out,
        read=n_in * places,
        written=4 * n_out * places,
    )
    return LayerCost(WorkPart.NETWORK, stage, f"{stage}.0", work)


def _count_places(config: NetConfig, level: int) -> int:
    """Count the places of a feature map after so many poolings."""
    return (config.height // config.patch >> level) * (config.width // config.patch >> level)


def _count_encoder(config: NetConfig) -> Iterator[LayerCost]:
    base = config.base_width
    n_in = config.input_channels * config.patch**2
    for level, width in enumerate((base, 2 * base, 4 * base)):
        stage, places = f"encoder.stages.{level}", _count_places(config, level)
        yield _count_convolution(stage, "0", (n_in, width), places)
        yield _count_convolution(stage, "3", (width, width), places)
        pooled = Work(read=width * places, written=width * _count_places(config, level + 1))
        yield LayerCost(WorkPart.NETWORK, stage, f"{stage}.pool", pooled)
        n_in = width
    places = config.queries
    yield _count_convolution("encoder.last", "0", (n_in, 8 * base), places)
    yield _count_convolution(
        "encoder.last", "3", (8 * base, config.memory_channels), places, norm=False
    )


def _count_read(config: NetConfig) -> Iterator[LayerCost]:
    """Count the memory's answers: K x C queries against M x C items."""
    queries, items, scores = _count_values(config)
    pair = scores * config.memory_channels
    for name, work in (
        ("normalise", Work(read=queries, written=queries)),
        ("similarity", Work(multiply_adds=pair, read=queries + items, written=scores)),
        ("answers", Work(multiply_adds=pair, read=scores + items, written=queries)),
    ):
        yield LayerCost(WorkPart.NETWORK, "memory", f"memory.{name}", work)


def _count_values(config: NetConfig) -> tuple[int, int, int]:
    """Count the values of all queries, of all items, and of their similarities."""
    return (
        config.queries * config.memory_channels,
        config.memory_items * config.memory_channels,
        config.queries * config.memory_items,
    )


def _count_decoder(config: NetConfig) -> Iterator[LayerCost]:
    base = config.base_width
    halves = config.task is Task.PREDICTION  # the skip brings the other half of the channels
    n_in = config.memory_channels * (2 if config.memory is MemoryKind.MNAD else 1)
    for index, width in enumerate((8 * base, 4 * base, 2 * base, base)):
        stage, places = f"decoder.stages.{index}", _count_places(config, 3 - index)
        yield _count_convolution(stage, "0", (n_in, width), places)
        yield _count_convolution(stage, "3", (width, width), places)
        if width > base:
            n_up = width // 2 if halves else width
            yield _count_upsampling(f"decoder.ups.{index}", (width, n_up), places)
        n_in = width
    n_out = (config.channels + config.judges) * config.patch**2
    yield _count_convolution(
        "decoder.last", "", (base, n_out), _count_places(config, 0), norm=False
    )


def _count_scoring(config: NetConfig) -> Iterator[LayerCost]:
    """Count P, D, E_t and the pooled errors."""
    queries, items, scores = _count_values(config)
    picture = config.channels * config.height * config.width
    nearest = scores * config.memory_channels
    yield from (
        LayerCost(WorkPart.SCORING, "scoring", f"scoring.{name}", work)
        for name, work in (
            ("nearest", Work(multiply_adds=nearest, read=queries + items, written=scores)),
            ("distance", Work(read=2 * queries, written=1)),
            ("psnr", Work(read=2 * picture, written=1)),
            ("gate", Work(read=2 * picture, written=1)),
        )
    )
    for step in (JUDGED if config.judges else LIVE).steps:
        yield LayerCost(
            WorkPart.SCORING,
            "scoring",
            f"scoring.{step.kind}",
            _count_pooling(step, config, picture),
        )


def _count_pooling(step: ErrorStep, config: NetConfig, picture: int) -> Work:
    """Count one error: its map (a judgement is one already), its cells, and their blur."""
    pixels = config.height * config.width
    rows, columns = (
        (side - step.cell) // step.stride + 1 for side in (config.height, config.width)
    )
    mapped = Work() if step.kind is ErrorKind.JUDGED else Work(read=2 * picture, written=pixels)
    pooled = Work(read=pixels, written=rows * columns)
    if step.blur_cells <= 0.0:
        return mapped + pooled
    # A matrix mixes the rows, another the columns.
    blurred = Work(
        multiply_adds=rows * columns * (rows + columns),
        read=2 * rows * columns + rows**2 + columns**2,
        written=2 * rows * columns,
    )
    return mapped + pooled + blurred


def _count_update(config: NetConfig) -> Iterator[LayerCost]:
    """Count the items' step towards the queries that chose them; MemAE's stay."""
    if config.memory is MemoryKind.MEMAE:
        return
    queries, items, scores = _count_values(config)
    pair = scores * config.memory_channels
    for name, work in (
        ("similarity", Work(multiply_adds=pair, read=queries + items, written=scores)),
        ("step", Work(multiply_adds=pair, read=scores + queries + items, written=items)),
    ):
        yield LayerCost(WorkPart.UPDATE, "update", f"update.{name}", work)
