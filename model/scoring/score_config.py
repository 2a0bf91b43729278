"""The steps of a score: error and pooling, normalisation, mix, smoothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from model.validation import require, require_number


class NormForm(StrEnum):
    """The form of a "norm" in the paper; γ means nothing without it."""

    MEAN_SQUARE = "mean_square"
    NORM = "norm"
    ELEMENT_SQUARE = "element_square"
    """Mean squares, but in the gate each value's own square, as the reference implementation has
    it: of grey frames the same."""


class ErrorKind(StrEnum):
    """The kind of a prediction's error; see `model.scoring.prediction_error`."""

    PSNR = "psnr"
    ABSOLUTE = "absolute"
    SQUARED = "squared"
    JUDGED = "judged"
    """The network's judgement of each pixel, in [0, 1], instead of the prediction's error."""


class PsnrPeak(StrEnum):
    """The peak in P: the brightest value of the frame, as in the paper, or 1."""

    FRAME = "frame"
    UNIT = "unit"


class NormalisationKind(StrEnum):
    """The kind of running range that a measure is placed in; see `model.scoring.ranges`."""

    MIN_MAX = "min_max"
    DECAYED = "decayed"
    QUANTILE = "quantile"


@dataclass(frozen=True, slots=True)
class ErrorStep:
    """Turns a prediction and the frame into one number: the kind of the error, and its pooling.

    `psnr` is of the whole frame; the others are maps, pooled as the fields after `peak` say.
    """

    kind: ErrorKind = ErrorKind.ABSOLUTE
    peak: PsnrPeak = PsnrPeak.FRAME
    """Used by `psnr` only."""
    cell: int = 8
    """Side of a cell, in pixels; 1 leaves the map as it is."""
    stride: int = 4
    """Step from a cell to the next, in pixels."""
    blur_cells: float = 2.0
    """Sigma of the Gaussian over neighbouring cells; 0 is none."""
    top_cells: int = 30
    """The mean is over so many of the largest cells; 0 is over all."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", ErrorKind(self.kind))
        object.__setattr__(self, "peak", PsnrPeak(self.peak))
        require(self.cell >= 1, "cell", self.cell, "at least 1")
        require(self.stride >= 1, "stride", self.stride, "at least 1")
        require(0.0 <= self.blur_cells <= 100.0, "blur_cells", self.blur_cells, "from 0 to 100")
        require(self.top_cells >= 0, "top_cells", self.top_cells, "0 or more")

    @property
    def key(self) -> str:
        """The same text for what gives the same number: the name of its range in a bundle."""
        if self.kind is ErrorKind.PSNR:
            return f"{self.kind}.{self.peak}"
        pooling = f"{self.cell}.{self.stride}.{self.blur_cells:g}.{self.top_cells}"
        return f"{self.kind}.{pooling}"


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Places a measure between 0 and 1, and moves the range that it is placed in."""

    kind: NormalisationKind = NormalisationKind.QUANTILE
    headroom: float = 2.0
    """The range reaches this many times as high as normal footage did."""
    relax_frames: float = 300.0
    """`decayed` only: half-life of what widened the range, in frames at the model's rate."""
    window_frames: float = 3000.0
    """`quantile` only: frames at the model's rate in which the range can shift by its own width."""
    tail: float = 0.01
    """`quantile` only: the share of frames below the range, and the share above it."""
    abnormal_gain: float = 0.1
    """`quantile` only: how far a frame whose score reaches the threshold moves the range, as a
    share of what another one does."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", NormalisationKind(self.kind))
        require_number("headroom", self.headroom, 1.0)
        require_number("relax_frames", self.relax_frames, 1.0)
        require_number("window_frames", self.window_frames, 1.0)
        require(0.0 < self.tail < 0.5, "tail", self.tail, "above 0 and below 0.5")
        require(
            0.0 <= self.abnormal_gain <= 1.0, "abnormal_gain", self.abnormal_gain, "from 0 to 1"
        )


@dataclass(frozen=True, slots=True)
class ScoreConfig:
    """A score, step by step: error and its pooling, normalisation, mix with D and with the
    network's own judgement, smoothing."""

    name: str = "live"
    error: ErrorStep = field(default_factory=ErrorStep)
    normalisation: Normalisation = field(default_factory=Normalisation)
    appearance_weight: float = 1.0
    """λ: the share of the prediction error; the rest is that of D."""
    judgement: ErrorStep | None = None
    """The pooling of the network's judgement; None leaves it out."""
    judgement_weight: float = 0.0
    """κ: the share of the judgement in the score; the rest is that of error and D."""
    smoothing: float = 0.5
    """Weight of the newest frame in the causal average of measures; 1 is no average. It is that at
    the model's rate; at others it is scaled to the same time."""

    def __post_init__(self) -> None:
        require(
            0.0 <= self.appearance_weight <= 1.0,
            "appearance_weight",
            self.appearance_weight,
            "from 0 to 1",
        )
        require(
            0.0 <= self.judgement_weight <= 1.0,
            "judgement_weight",
            self.judgement_weight,
            "from 0 to 1",
        )
        kind = self.judgement.kind if self.judgement else ErrorKind.JUDGED
        require(kind is ErrorKind.JUDGED, "judgement.kind", kind, f"{ErrorKind.JUDGED}")
        require(
            self.judgement is not None or self.judgement_weight == 0.0,
            "judgement",
            self.judgement,
            "given where judgement_weight is above 0",
        )
        require(0.0 < self.smoothing <= 1.0, "smoothing", self.smoothing, "above 0, at most 1")

    @property
    def steps(self) -> tuple[ErrorStep, ...]:
        """All that is to be measured of a frame."""
        return (self.error,) if self.judgement is None else (self.error, self.judgement)


def scale_weight(weight: float, steps: float) -> float:
    """Scale a running average's weight of the newest frame to one that stands for several frames:
    1 - (1 - weight)^steps. For one frame it is the weight, to the bit."""
    return weight if steps == 1.0 else 1.0 - (1.0 - weight) ** steps


def rescale(score: ScoreConfig, steps: float) -> ScoreConfig:
    """Return the score for footage each of whose frames stands for so many at the model's rate."""
    ranges = score.normalisation
    ranges = replace(
        ranges,
        relax_frames=max(1.0, ranges.relax_frames / steps),
        window_frames=max(1.0, ranges.window_frames / steps),
    )
    return replace(score, normalisation=ranges, smoothing=scale_weight(score.smoothing, steps))


PAPER = ScoreConfig(
    name="paper",
    error=ErrorStep(kind=ErrorKind.PSNR),
    normalisation=Normalisation(kind=NormalisationKind.MIN_MAX, headroom=1.0),
    appearance_weight=0.6,
    smoothing=1.0,
)
"""S_t of the paper (section 3.4): λ(1 - g(P)) + (1 - λ) g(D), plain min-max."""

LIVE = ScoreConfig()
"""The default of networks that don't judge: mean absolute error pooled over cells."""

JUDGED = ScoreConfig(
    name="judged",
    judgement=ErrorStep(kind=ErrorKind.JUDGED, blur_cells=0.0, top_cells=100),
    judgement_weight=0.5,
    smoothing=0.35,
)
"""The default of networks that judge: half that error, half the judgement."""


def _make_ladder() -> dict[str, ScoreConfig]:
    error = replace(PAPER, name="paper-error", appearance_weight=1.0)
    whole = ErrorStep(kind=LIVE.error.kind, cell=1, stride=1, blur_cells=0.0, top_cells=0)
    absolute = replace(error, name="absolute", error=whole)
    pooled = replace(absolute, name="pooled", error=LIVE.error)
    bounded = replace(pooled, name="bounded", normalisation=LIVE.normalisation)
    return {score.name: score for score in (PAPER, error, absolute, pooled, bounded, LIVE)}


SCORES = _make_ladder()
"""The scores from `paper` to `live`, each with one step more than the one before it."""


def list_scores(own: ScoreConfig) -> dict[str, ScoreConfig]:
    """List the named scores that a bundle with this score of its own can give, its own last."""
    named = dict(SCORES)
    if own.judgement is not None:
        named["judgement"] = replace(own, name="judgement", judgement_weight=1.0)
    return {**named, own.name: own}
