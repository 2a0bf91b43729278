"""`normwatch models` and its subcommands; also finds the bundle for every other command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from model.network.network_config import NetConfig, Task
from service.cli.input_footage import add_recordings, find_sources
from service.cli.outputs import check_bundle_folder
from service.cli.shared_options import BundleName
from service.errors import BadInput
from service.settings import Settings

if TYPE_CHECKING:
    from model.bundles.bundle import Bundle
    from model.bundles.composition import Composition

app = typer.Typer(help="List models, add others, and pack your own for others.")


def load_bundle(name_or_path: str) -> Bundle:
    """Load a bundle by path, or by its name among the user's and the shipped ones.

    Raises: BundleError.
    """
    from model.bundles.bundle import load

    return load(find_bundle(name_or_path))


def find_bundle(name_or_path: str) -> Path:
    """Find a bundle's folder. Raises: BundleError."""
    from model.bundles.catalog import find_bundle

    return find_bundle(name_or_path, [Settings().user_models, Path()])


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """List the bundles: your own, and those that come with normwatch."""
    from model.bundles.catalog import list_bundles

    if context.invoked_subcommand is not None:
        return

    settings = Settings()
    table = Table("name", "network", "input", "trained on", "AUC causal, offline", "where")
    for info in list_bundles([settings.user_models]):
        net, origin = info.config, info.provenance
        table.add_row(
            info.name,
            _describe_network(net),
            f"{net.height}x{net.width} {'grey' if net.channels == 1 else 'RGB'}",
            f"{origin.frames} frames, {origin.epochs} epochs" if origin.epochs else origin.notes,
            ", ".join(f"{value:g}" for value in _find_own_aucs(origin.results, info.score)),
            "shipped" if info.shipped else str(info.path),
        )
    Console(highlight=False).print(table)


def _describe_network(net: NetConfig) -> str:
    patch = f", patch {net.patch}" if net.patch > 1 else ""
    task = "" if net.task is Task.PREDICTION else f", {net.task.value}"
    return f"width {net.base_width}{patch}{task}"


def _find_own_aucs(results: Mapping[str, float], score: str) -> list[float]:
    """Find the frame-level AUCs of the bundle's own score in percent: causal, then offline."""
    return [
        value
        for protocol in ("causal", "offline")
        for name, value in results.items()
        if f".auc.{protocol}.micro" in name and (name + ".").endswith((f".{score}.", ".micro."))
    ]


@app.command("show")
def show(
    bundle: Annotated[
        str, typer.Argument(help="A bundle's folder, or a name from `normwatch models`.")
    ],
) -> None:
    """Say what a bundle was trained on, and how its score was composed."""
    from model.bundles.catalog import read_document

    found = read_document(find_bundle(bundle))
    origin, score = found.provenance, found.score
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{found.name}: {_describe_network(found.net)}, {origin.frames} frames, "
        f"{origin.epochs} epochs"
    )
    weight = f", judgement's weight {score.judgement_weight:g}" if score.judgement else ""
    limit = found.calibration.thresholds.get(score.name)
    console.print(
        f"score {score.name}{weight}" + ("" if limit is None else f", threshold {limit:.3f}")
    )
    if origin.composition is None:
        return
    console.print(origin.composition.describe())
    if origin.composition.candidates:
        console.print(_make_candidates_table(origin.composition))


def _make_candidates_table(composition: Composition) -> Table:
    kinds = list(composition.candidates[0].kinds)
    table = Table("judgement's weight", "AUC", "lead", *kinds)
    for each in composition.candidates:
        values = [each.auc, each.lead_low, *(each.kinds[kind] for kind in kinds)]
        table.add_row(f"{each.judgement_weight:g}", *(f"{value:.1f}" for value in values))
    return table


@app.command("add")
def add(
    source: Annotated[
        str, typer.Argument(help="A bundle's folder, an archive of one, or its https URL.")
    ],
    name: Annotated[
        str | None, typer.Option(help="Name to add it under; the bundle's own unless given.")
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="SHA-256 of the archive; a URL needs it.")
    ] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Permit URLs inside your network.")
    ] = False,
) -> None:
    """Check a bundle from elsewhere, and add it to your models."""
    from service.tools.release.download import Fetcher
    from service.tools.release.installation import InstallOrder, install

    order = InstallOrder(source, name, sha256, Fetcher(allow_private=allow_private))
    path = install(order, Settings().user_models)
    Console(highlight=False, soft_wrap=True).print(f"{path} holds model {path.name}")


@app.command("quantise")
def quantise(
    bundle: BundleName,
    footage: Annotated[
        list[str],
        typer.Argument(help="Normal footage of its camera, preferably not what it was trained on."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; the bundle's own unless given.")
    ] = None,
    max_frames: Annotated[
        int | None, typer.Option(help="Frames to take of each source.", min=1)
    ] = None,
) -> None:
    """Measure the ranges for 8-bit arithmetic, and how its scores agree with fp32."""
    from model.bundles.bundle import load, save
    from model.bundles.catalog import SHIPPED
    from model.footage.clips import open_frame_store
    from model.training.bundle_quantisation import quantise_bundle
    from service.learn.bundle_making import describe_int8

    path = find_bundle(bundle)
    if out is not None:
        check_bundle_folder("--out", out)
    elif path.resolve().parent == SHIPPED.resolve() and bundle == path.name:
        raise BadInput("--out", None, f"is needed: {bundle} comes with normwatch")
    loaded = load(path)
    console = Console(highlight=False, soft_wrap=True)
    with (
        open_frame_store(loaded.frame_shape) as store,
        Progress(console=console, disable=not console.is_terminal) as bar,
    ):
        sources, fps = find_sources(console, footage), loaded.provenance.frame_rate
        add_recordings(console, store, sources, fps=fps, limit=max_frames)
        task = bar.add_task("scoring twice", total=None)
        try:
            done = quantise_bundle(loaded, store.clips(), lambda: bar.advance(task))
        except ValueError as error:
            raise BadInput("FOOTAGE", " ".join(footage), str(error)) from None
    save(done, out or path)
    console.print(f"{out or path}: {describe_int8(done)}")


@app.command("pack")
def pack(
    bundle: BundleName,
    out: Annotated[
        Path | None, typer.Option(help="Archive to write; NAME.tar unless given.")
    ] = None,
) -> None:
    """Write a bundle as one archive that others can add."""
    from model.bundles.bundle import load
    from service.tools.release.archive import pack as write

    path = find_bundle(bundle)
    load(path)  # what is damaged isn't published
    target = out or Path(f"{path.resolve().name}.tar")
    checksum = write(path, target)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{target} holds the bundle, {target.stat().st_size} bytes")
    console.print(f"sha256 {checksum}")
