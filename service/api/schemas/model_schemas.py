"""The models that there are."""

from __future__ import annotations

from pydantic import BaseModel

from model.bundles.catalog import BundleInfo
from service.api.schemas.copied_fields import copy_fields
from service.learning_messages import CheckSummary


class ModelCheckOut(BaseModel):
    """What the check of a learned model found."""

    verdict: str
    is_passed: bool
    auc: float
    found: int
    """Synthetic anomalies that it found, of `scenes`."""
    scenes: int
    false_events: int


class ModelOut(BaseModel):
    """A bundle: its network, and where it comes from."""

    name: str
    shipped: bool
    """It came with the program."""
    is_default: bool
    task: str
    width: int
    height: int
    channels: int
    base_width: int
    memory_items: int
    frame_rate: float | None
    created_at: str
    trained_on: list[str]
    frames: int
    results: dict[str, float]
    notes: str
    check: ModelCheckOut | None
    """Null where it wasn't checked."""
    stream_id: str | None
    """The stream that learned it here."""


class ModelsOut(BaseModel):
    """The user's own models, then the shipped ones."""

    items: list[ModelOut]


def describe_model(
    info: BundleInfo, *, is_default: bool, check: CheckSummary | None, stream_id: str | None
) -> ModelOut:
    """Return the answer about a bundle, without its path."""
    return ModelOut(
        name=info.name,
        shipped=info.shipped,
        is_default=is_default,
        task=info.config.task.value,
        width=info.config.width,
        height=info.config.height,
        channels=info.config.channels,
        base_width=info.config.base_width,
        memory_items=info.config.memory_items,
        frame_rate=info.provenance.frame_rate,
        created_at=info.provenance.created_at,
        trained_on=list(info.provenance.sources),
        frames=info.provenance.frames,
        results=info.provenance.results,
        notes=info.provenance.notes,
        check=None if check is None else copy_fields(ModelCheckOut, check),
        stream_id=stream_id,
    )
