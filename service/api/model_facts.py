"""What bundles' documents say that answers about streams need: thresholds, rates, warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.bundles.catalog import BundleError, read_document
from model.footage.locations import Location
from service.api.bundle_names import list_bundles
from service.api.context import Context
from service.store.tables import StreamRow

MOST_RATE_RATIO = 4.0 / 3.0
"""A model still knows movement that is faster or slower by this factor."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model, as far as answers about its streams need it."""

    threshold: float | None
    fps: float | None
    """Frames a second that it was trained at."""
    shipped: bool


def read_model_facts(context: Context, rows: Sequence[StreamRow]) -> dict[str, ModelFacts]:
    """Return what is known of streams' models, by stream, without those that can't be read."""
    used = {row.model for row in rows if row.model is not None}
    found: dict[str, ModelFacts] = {}
    for info in list_bundles(context.settings) if used else []:
        if info.name in used:
            try:
                document = read_document(info.path)
            except BundleError:  # it went between the listing and now
                continue
            found[info.name] = ModelFacts(
                document.calibration.thresholds.get(document.score.name),
                info.provenance.frame_rate,
                info.shipped,
            )
    return {row.id: found[row.model] for row in rows if row.model in found}


def find_warnings(row: StreamRow, facts: ModelFacts) -> list[str]:
    """Return what makes the stream's scores useless, one sentence each."""
    warnings: list[str] = []
    if facts.shipped and Location.parse(row.source).is_live:
        warnings.append(
            f"{row.model} was trained on another camera, so nearly everything here may look "
            "abnormal: learn a model of this camera"
        )
    if row.fps and facts.fps and _compute_ratio(row.fps, facts.fps) > MOST_RATE_RATIO:
        warnings.append(
            f"fps is {row.fps:g}, and {row.model} was trained at {facts.fps:g} frames a second, so "
            "normal movement may look abnormal: leave fps out, or learn a model at this rate"
        )
    return warnings


def _compute_ratio(one: float, other: float) -> float:
    return max(one / other, other / one)
