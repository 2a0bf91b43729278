"""The models that there are."""

from __future__ import annotations

from fastapi import APIRouter

from service.api.bundle_names import list_bundles
from service.api.context import Shared
from service.api.schemas.model_schemas import ModelsOut, describe_model

router = APIRouter(tags=["models"])


@router.get("/models", summary="List all models")
def list_models(context: Shared) -> ModelsOut:
    """The user's own, then the shipped ones. A stream names one of them."""
    found = list_bundles(context.settings)
    default = context.settings.default_model
    return ModelsOut(
        items=[describe_model(info, is_default=info.name == default) for info in found]
    )
