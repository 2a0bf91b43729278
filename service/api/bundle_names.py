"""Bundles by name: the API never sees their paths."""

from __future__ import annotations

from typing import get_args

from model.bundles import catalog
from model.bundles.catalog import BundleInfo
from model.network.preset_networks import PRESET_NETWORKS, have_same_architecture
from service.api.schemas.learning_schemas import LearningPreset
from service.errors import BadInput
from service.settings import Settings

STARTS = ("auto", "none")
"""Words for the weights that a learning begins with, which no added model may be named."""


def list_bundles(settings: Settings) -> list[BundleInfo]:
    """Return the user's own bundles, then the shipped ones."""
    return catalog.list_bundles([settings.user_models])


def choose_model(name: str | None, settings: Settings) -> str | None:
    """Return an existing bundle's name.

    None takes the operator's default, or no model: every bundle was trained on another camera.

    Raises: BadInput: there is no such bundle.
    """
    chosen = name if name is not None else settings.default_model
    if chosen is None:
        return None
    names = [info.name for info in list_bundles(settings)]
    if chosen not in names:
        known = ", ".join(names) or "none"
        raise BadInput("model", chosen, f"no such model; there are: {known}")
    return chosen


def check_start(start: str, preset: str, settings: Settings) -> None:
    """Refuse a learning's start that is neither a word for one nor a bundle that fits the preset.

    Raises: BadInput: there is no such bundle, or its network is another than the preset's.
    """
    if start in STARTS:
        return
    nets = {info.name: info.config for info in list_bundles(settings)}
    if start not in nets:
        known = ", ".join(nets)
        raise BadInput("start", start, f"must be auto, none or one of the models: {known}")
    net = PRESET_NETWORKS[preset]
    if not have_same_architecture(nets[start], net):
        models = [name for name, each in nets.items() if have_same_architecture(each, net)]
        presets = [
            name
            for name, each in PRESET_NETWORKS.items()
            if have_same_architecture(each, nets[start]) and name in get_args(LearningPreset)
        ]
        raise BadInput(
            "start",
            start,
            f"has another network than preset {preset}; models that fit the preset: "
            f"{', '.join(models) or 'none'}; presets that fit the model: "
            f"{', '.join(presets) or 'none'}",
        )
