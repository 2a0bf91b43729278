"""The measures that an engine must take of each frame for the scores in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.bundles.catalog import BundleError
from model.scoring.score_config import LIVE, ErrorKind, ErrorStep, NormForm, PsnrPeak, ScoreConfig

if TYPE_CHECKING:
    from model.bundles.bundle import Bundle


@dataclass(frozen=True, slots=True)
class RequiredMeasures:
    """The measures that an engine must take of a frame."""

    form: NormForm
    """The norm in D and E_t."""
    peak: PsnrPeak
    errors: tuple[ErrorStep, ...]
    heat: ErrorStep
    """The error whose pooled cells make the heat map; never `psnr`."""


def find_required_measures(bundle: Bundle, scores: Sequence[ScoreConfig] = ()) -> RequiredMeasures:
    """Collect the measures that the bundle's own score and these scores are made of.

    Raises: BundleError: the bundle's score takes a judgement, which its network doesn't give.
    """
    own = bundle.score
    if own.judgement is not None and not bundle.config.judges:
        raise BundleError(f"score {own.name} takes a judgement, which {bundle.name} doesn't give")
    steps = {step.key: step for score in (own, *scores) for step in score.steps}
    heat = own.judgement or own.error
    return RequiredMeasures(
        bundle.calibration.error_form,
        own.error.peak,
        tuple(steps.values()),
        LIVE.error if heat.kind is ErrorKind.PSNR else heat,
    )
