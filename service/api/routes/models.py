"""Models at hand."""

from __future__ import annotations

from fastapi import APIRouter

from service.api.catalog import bundles
from service.api.context import Shared
from service.api.schemas.models import ModelsOut, model_out

router = APIRouter(tags=["models"])


@router.get("/models", summary="Models at hand")
def list_models(context: Shared) -> ModelsOut:
    """The user's own, then the shipped ones. A stream names one of them."""
    found = bundles(context.settings)
    default = context.settings.default_model
    if default is None and len(found) == 1:
        default = found[0].name
    return ModelsOut(items=[model_out(info, is_default=info.name == default) for info in found])
