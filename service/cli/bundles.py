"""`normwatch models`, and how every command finds the bundle that it was given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from service.settings import Settings

if TYPE_CHECKING:
    from model.bundle import Bundle


def load_bundle(name_or_path: str) -> Bundle:
    """A bundle by path, or by name among the user's and the shipped ones. Raises: BundleError."""
    from model.bundle import load
    from model.catalog import find

    return load(find(name_or_path, [Settings().user_models, Path()]))


def models() -> None:
    """List the bundles at hand: the user's, and those that come with normwatch."""
    from model.catalog import available

    settings = Settings()
    table = Table("name", "task", "width", "input", "trained on", "held-out/test results", "where")
    for info in available([settings.user_models]):
        net, origin = info.config, info.provenance
        table.add_row(
            info.name,
            net.task.value,
            str(net.base_width),
            f"{net.height}x{net.width} {'grey' if net.channels == 1 else 'RGB'}",
            f"{origin.frames} frames, {origin.epochs} epochs",
            ", ".join(f"{name} {value:g}" for name, value in origin.results.items()),
            "shipped" if info.shipped else str(info.path),
        )
    Console(highlight=False).print(table)
