"""The settings that a trained network cannot be used without: shapes, memory, error form, scoring.

They are saved beside the weights (see `model.bundle`), so each is a plain frozen dataclass that
refuses bad values when it is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

DOWNSCALE = 8
"""Three poolings of two: the feature map is this much smaller than the picture, each way."""
LEAST_SIDE = 16
"""Of a picture, each way, in patches."""
PATCHES = (1, 2, 4)


class Task(StrEnum):
    """What the network does with the frames that it is given."""

    PREDICTION = "prediction"
    RECONSTRUCTION = "reconstruction"


class MemoryKind(StrEnum):
    """Which memory stands between encoder and decoder; see `model.memories`."""

    MNAD = "mnad"
    MEMAE = "memae"


MEMORY_ITEMS = {MemoryKind.MNAD: 10, MemoryKind.MEMAE: 2000}
"""How many items each has in its paper."""


class ErrorForm(StrEnum):
    """What a "norm" of the paper is computed as; γ means nothing without it."""

    MEAN_SQUARE = "mean_square"
    NORM = "norm"
    ELEMENT_SQUARE = "element_square"
    """Mean squares, but in the gate each value's own square, as the reference implementation has
    it: of grey frames the same."""


class ErrorKind(StrEnum):
    """What a prediction's error is taken as; see `model.score`."""

    PSNR = "psnr"
    ABSOLUTE = "absolute"
    SQUARED = "squared"
    JUDGED = "judged"
    """Not the prediction's error but the network's judgement of each pixel, in [0, 1]."""


class PsnrPeak(StrEnum):
    """The peak in P: the brightest value of the frame, as in the paper, or 1."""

    FRAME = "frame"
    UNIT = "unit"


class NormalisationKind(StrEnum):
    """How a measure is placed in the range of what is usual; see `model.ranges`."""

    MIN_MAX = "min_max"
    DECAYED = "decayed"
    QUANTILE = "quantile"


def _require(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise ValueError(f"{name} must be {expected}, got {value!r}")


@dataclass(frozen=True, slots=True)
class NetConfig:
    """Shape of the network and of its memory.

    The paper's network is `base_width=64`, hence 512 feature channels, with 10 items.
    """

    task: Task = Task.PREDICTION
    base_width: int = 64
    channels: int = 1
    height: int = 256
    width: int = 256
    history: int = 4
    memory_items: int = 0
    """0 stands for as many as the memory has in its paper."""
    memory_channels: int = 0
    """Channels of a query and of an item; 0 stands for 8 x base_width."""
    memory: MemoryKind = MemoryKind.MNAD
    memory_shrinkage: float = 1.0
    """λ of MemAE's hard shrinkage, in units of 1 / memory_items; the paper's are from 1 to 3."""
    judges: bool = False
    """Whether it has a second output: of each pixel, how likely it shows something abnormal."""
    patch: int = 1
    """Side of the squares of pixels that the convolutions take as one place with more channels: 2
    is a quarter of the work. The paper's is 1."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", Task(self.task))
        object.__setattr__(self, "memory", MemoryKind(self.memory))
        if self.memory_items == 0:
            object.__setattr__(self, "memory_items", MEMORY_ITEMS[self.memory])
        if self.memory_channels == 0:
            object.__setattr__(self, "memory_channels", 8 * self.base_width)
        _require(self.base_width >= 1, "base_width", self.base_width, "at least 1")
        _require(self.channels in (1, 3), "channels", self.channels, "1 (grey) or 3 (RGB)")
        _require(self.patch in PATCHES, "patch", self.patch, "1, 2 or 4")
        for name in ("height", "width"):
            size = getattr(self, name)
            _require(
                size >= LEAST_SIDE * self.patch and size % self.downscale == 0,
                name,
                size,
                f"a multiple of {self.downscale}, at least {LEAST_SIDE * self.patch}",
            )
        _require(1 <= self.history <= 32, "history", self.history, "from 1 to 32 frames")
        _require(self.memory_items >= 2, "memory_items", self.memory_items, "at least 2")
        _require(self.memory_channels >= 1, "memory_channels", self.memory_channels, "at least 1")
        _require(
            math.isfinite(self.memory_shrinkage) and self.memory_shrinkage >= 0.0,
            "memory_shrinkage",
            self.memory_shrinkage,
            "a number, 0 or more",
        )

    @property
    def context(self) -> int:
        """Frames that must have been seen before the first one can be scored."""
        return self.history if self.task is Task.PREDICTION else 0

    @property
    def input_channels(self) -> int:
        """Channels of the network's input: the context frames, stacked."""
        return self.channels * max(self.context, 1)

    @property
    def downscale(self) -> int:
        """How much smaller than the picture the feature map is, each way."""
        return DOWNSCALE * self.patch

    @property
    def queries(self) -> int:
        """K, the number of queries that one frame gives."""
        return (self.height // self.downscale) * (self.width // self.downscale)


@dataclass(frozen=True, slots=True)
class ErrorStep:
    """How a prediction and the frame become one number: the form of the error, and its pooling.

    `psnr` is of the whole frame; the others are maps, pooled as the fields after `peak` say.
    """

    form: ErrorKind = ErrorKind.ABSOLUTE
    peak: PsnrPeak = PsnrPeak.FRAME
    """Of `psnr` only."""
    cell: int = 8
    """Side of a cell, in pixels; 1 leaves the map as it is."""
    stride: int = 4
    """From a cell to the next, in pixels."""
    blur_cells: float = 2.0
    """Sigma of the Gaussian over neighbouring cells; 0 is none."""
    top_cells: int = 30
    """The mean is over so many of the largest cells; 0 is over all."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "form", ErrorKind(self.form))
        object.__setattr__(self, "peak", PsnrPeak(self.peak))
        _require(self.cell >= 1, "cell", self.cell, "at least 1")
        _require(self.stride >= 1, "stride", self.stride, "at least 1")
        _require(0.0 <= self.blur_cells <= 100.0, "blur_cells", self.blur_cells, "from 0 to 100")
        _require(self.top_cells >= 0, "top_cells", self.top_cells, "0 or more")

    @property
    def key(self) -> str:
        """The same text for what gives the same number: the name of its range in a bundle."""
        if self.form is ErrorKind.PSNR:
            return f"{self.form}.{self.peak}"
        pooling = f"{self.cell}.{self.stride}.{self.blur_cells:g}.{self.top_cells}"
        return f"{self.form}.{pooling}"


@dataclass(frozen=True, slots=True)
class Normalisation:
    """How a measure is placed between 0 and 1, and what moves the range that it is placed in."""

    kind: NormalisationKind = NormalisationKind.QUANTILE
    headroom: float = 2.0
    """The range reaches this many times as high as normal footage did."""
    relax_frames: float = 300.0
    """Of `decayed`: half-life of what widened the range."""
    window_frames: float = 3000.0
    """Of `quantile`: frames in which the range can shift by its own width."""
    tail: float = 0.01
    """Of `quantile`: the share of frames that lie below the range, and of those above it."""
    abnormal_gain: float = 0.1
    """Of `quantile`: how far a frame whose score reaches the threshold moves the range, as a share
    of what another one does."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", NormalisationKind(self.kind))
        _require_number("headroom", self.headroom, 1.0)
        _require_number("relax_frames", self.relax_frames, 1.0)
        _require_number("window_frames", self.window_frames, 1.0)
        _require(0.0 < self.tail < 0.5, "tail", self.tail, "above 0 and below 0.5")
        _require(
            0.0 <= self.abnormal_gain <= 1.0, "abnormal_gain", self.abnormal_gain, "from 0 to 1"
        )


def _require_number(name: str, value: float, least: float) -> None:
    _require(math.isfinite(value) and value >= least, name, value, f"a number, at least {least:g}")


@dataclass(frozen=True, slots=True)
class ScoreConfig:
    """A score, step by step: error and its pooling, normalisation, mix with D and with the
    network's own judgement, smoothing."""

    name: str = "live"
    error: ErrorStep = field(default_factory=ErrorStep)
    normalisation: Normalisation = field(default_factory=Normalisation)
    appearance_weight: float = 1.0
    """λ: the share of the prediction error beside D."""
    judgement: ErrorStep | None = None
    """How the network's judgement is pooled; None leaves it out."""
    judgement_weight: float = 0.0
    """κ: the share of the judgement in the score; the rest is that of error and D."""
    smoothing: float = 0.5
    """Weight of the newest frame in the causal average of measures; 1 is no average."""

    def __post_init__(self) -> None:
        _require(
            0.0 <= self.appearance_weight <= 1.0,
            "appearance_weight",
            self.appearance_weight,
            "from 0 to 1",
        )
        _require(
            0.0 <= self.judgement_weight <= 1.0,
            "judgement_weight",
            self.judgement_weight,
            "from 0 to 1",
        )
        form = self.judgement.form if self.judgement else ErrorKind.JUDGED
        _require(form is ErrorKind.JUDGED, "judgement.form", form, f"{ErrorKind.JUDGED}")
        _require(
            self.judgement is not None or self.judgement_weight == 0.0,
            "judgement",
            self.judgement,
            "given where judgement_weight is above 0",
        )
        _require(0.0 < self.smoothing <= 1.0, "smoothing", self.smoothing, "above 0, at most 1")

    @property
    def steps(self) -> tuple[ErrorStep, ...]:
        """All that is to be measured of a frame."""
        return (self.error,) if self.judgement is None else (self.error, self.judgement)


PAPER = ScoreConfig(
    name="paper",
    error=ErrorStep(form=ErrorKind.PSNR),
    normalisation=Normalisation(kind=NormalisationKind.MIN_MAX, headroom=1.0),
    appearance_weight=0.6,
    smoothing=1.0,
)
"""S_t of the paper (section 3.4): λ(1 - g(P)) + (1 - λ) g(D), plain min-max."""

LIVE = ScoreConfig()
"""Of networks that don't judge, the service's default: mean absolute error pooled over cells."""

JUDGED = ScoreConfig(
    name="judged",
    judgement=ErrorStep(form=ErrorKind.JUDGED, blur_cells=0.0, top_cells=100),
    judgement_weight=0.5,
    smoothing=0.35,
)
"""Of those that do: half that error, half how much of the picture is judged abnormal."""


def _ladder() -> dict[str, ScoreConfig]:
    error = replace(PAPER, name="paper-error", appearance_weight=1.0)
    whole = ErrorStep(form=LIVE.error.form, cell=1, stride=1, blur_cells=0.0, top_cells=0)
    absolute = replace(error, name="absolute", error=whole)
    pooled = replace(absolute, name="pooled", error=LIVE.error)
    bounded = replace(pooled, name="bounded", normalisation=LIVE.normalisation)
    return {score.name: score for score in (PAPER, error, absolute, pooled, bounded, LIVE)}


SCORES = _ladder()
"""From `paper` to `live`, each with one step more than the one before it."""


def compositions(own: ScoreConfig) -> dict[str, ScoreConfig]:
    """The named scores that a bundle with this score of its own can give, its own last."""
    named = dict(SCORES)
    if own.judgement is not None:
        named["judgement"] = replace(own, name="judgement", judgement_weight=1.0)
    return {**named, own.name: own}


@dataclass(frozen=True, slots=True)
class Span:
    """A closed range of a value; `low <= high`, both finite."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _require(
            math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high,
            "range",
            (self.low, self.high),
            "two finite numbers in order",
        )


@dataclass(frozen=True, slots=True)
class NormalRange:
    """What held-out normal footage gave, each before normalisation."""

    distance: Span
    """D."""
    errors: Mapping[str, Span]
    """Of each error, by `ErrorStep.key`; of `psnr` it is -P, so that all rise with abnormality."""

    def covers(self, score: ScoreConfig) -> bool:
        """Whether this score has a range to start from."""
        return all(step.key in self.errors for step in score.steps)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a bundle knows of normal footage: the gate, the ranges, a threshold for each score."""

    gamma: float = 0.01
    error_form: ErrorForm = ErrorForm.MEAN_SQUARE
    normal: NormalRange | None = None
    thresholds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "error_form", ErrorForm(self.error_form))
        _require(
            math.isfinite(self.gamma) and self.gamma >= 0.0,
            "gamma",
            self.gamma,
            "a number, 0 or more",
        )
        for name, threshold in self.thresholds.items():
            _require(math.isfinite(threshold), f"threshold of {name}", threshold, "finite")


@dataclass(frozen=True, slots=True)
class InputRange:
    """Values that a convolution is given, on normal footage."""

    low: float
    """0 or below."""
    high: float
    """0 or above."""

    def __post_init__(self) -> None:
        _require(
            math.isfinite(self.low) and math.isfinite(self.high) and self.low <= 0.0 <= self.high,
            "range",
            (self.low, self.high),
            "two finite numbers around 0",
        )


@dataclass(frozen=True, slots=True)
class Int8:
    """What a network needs to be run in 8 bits, and how well it does; see
    `model.engines.quantisation`."""

    ranges: dict[str, InputRange]
    """By the convolution's name."""
    rank_correlation: float
    """Of its scores with those in fp32 (Spearman), on normal footage kept out of training."""
    frames: int
    """So many scores of it were compared."""

    def __post_init__(self) -> None:
        _require(
            -1.0 <= self.rank_correlation <= 1.0,
            "rank_correlation",
            self.rank_correlation,
            "from -1 to 1",
        )
        _require(self.frames >= 0, "frames", self.frames, "0 or more")
