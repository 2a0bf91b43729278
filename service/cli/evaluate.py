"""`normwatch evaluate`: how well a bundle tells abnormal frames from normal ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from model.bundles.catalog import DEFAULT_FPS
from model.engines.names import EngineName
from service.cli.bundles import load_bundle
from service.cli.engines import require_engine
from service.cli.evaluation_files import Outputs, Results, write
from service.cli.shared_options import BundleName, JsonFile
from service.errors import BadInput

if TYPE_CHECKING:
    from model.bundles.bundle import Bundle
    from model.data.datasets import TestClip
    from model.evaluation.comparison import Comparison, Plan
    from model.footage.clips import Clip
    from model.scoring.score_config import ScoreConfig

ALL = "all"
WIDTH = 100
"""Width of the tables without a terminal, in columns."""


def evaluate(
    bundle: BundleName,
    data: Annotated[
        Path, typer.Argument(help="A data set's folder: Ped1/Ped2, Avenue, ShanghaiTech, or plain.")
    ],
    layout: Annotated[
        str | None, typer.Option(help="The data set's layout; recognised unless given.")
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(help="Composition of the first figures; the bundle's own unless given."),
    ] = None,
    scores: Annotated[
        str, typer.Option(help="`all` compositions, or the name of a single one to measure.")
    ] = ALL,
    gamma: Annotated[
        float | None, typer.Option(help="γ; the bundle's unless given.", min=0.0)
    ] = None,
    memory: Annotated[
        list[str] | None,
        typer.Option(
            help="Rule of memory updates, or `all`; repeat it for more. `paper` unless given."
        ),
    ] = None,
    baselines: Annotated[
        bool, typer.Option(help="Measure frame difference and MOG2 as well.")
    ] = True,
    normal: Annotated[
        Path | None,
        typer.Option(help="Normal footage for the baselines' ranges and thresholds."),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(help="Frames a second of the clips; the bundle's, or 10, unless given."),
    ] = None,
    engine: Annotated[
        EngineName | None, typer.Option(help="Engine to use; torch-fp32 unless given.")
    ] = None,
    json_file: JsonFile = None,
    plot: Annotated[Path, typer.Option(help="PNG of curves and ROC.")] = Path("evaluation.png"),
    figure: Annotated[
        str | None, typer.Option(help="Clip to draw a frame of: prediction, error, scores.")
    ] = None,
    figure_frame: Annotated[
        int | None,
        typer.Option(
            help="The frame to draw; the abnormal one that scores highest unless given.", min=0
        ),
    ] = None,
    figure_out: Annotated[Path, typer.Option(help="PNG of that frame.")] = Path("figure.png"),
) -> None:
    """Measure a bundle on labelled footage, offline (papers' protocol) and causal (live)."""
    from model.data.datasets import Layout, load_test_clips
    from model.evaluation.comparison import compare, count_frames
    from model.evaluation.truth import make_truth

    outputs = Outputs(json_file, plot, figure, figure_frame, figure_out)
    outputs.check()
    if layout is not None and layout not in list(Layout):
        raise BadInput("--layout", layout, f"must be one of {', '.join(Layout)}")
    loaded = load_bundle(bundle)
    chosen, list_scores = _choose_compositions(loaded, score, scores)
    if normal is not None and not baselines:
        raise BadInput("--normal", str(normal), "is of use with --baselines only")
    plan = _make_plan(loaded, list_scores, memory, gamma, fps, baselines=baselines, figure=figure)
    if engine is not None:
        require_engine("--engine", engine, loaded)
        plan = replace(plan, engine=engine)
    labelled = load_test_clips(data, layout)
    if figure is not None and figure not in {clip.source.name for clip in labelled}:
        names = ", ".join(clip.source.name for clip in labelled)
        raise BadInput("--figure", figure, f"must be one of the clips {names}")
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    clips, usual = _read(loaded, labelled, normal, console)
    if all(len(clip) <= loaded.config.context for clip in clips):
        reason = f"no clip there has more than the {loaded.config.context} frames that come first"
        raise BadInput("DATA", str(data), f"{reason}: none can be scored")
    if figure is not None and figure_frame is not None:
        length = next(len(clip) for clip in clips if clip.name == figure)
        if not loaded.config.context <= figure_frame < length:
            reason = f"must be from {loaded.config.context} to {length - 1} in clip {figure}"
            raise BadInput("--figure-frame", figure_frame, reason)
    known = make_truth(
        clips, [clip.abnormal for clip in labelled], [clip.masks for clip in labelled]
    )
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("scoring", total=count_frames(clips, usual, plan))
        comparison = compare(
            loaded, clips, known, plan, normal=usual, on_frame=lambda: bar.advance(task)
        )
    _show(console, comparison, loaded, chosen)
    if known.masks is not None and known.kinds is None:
        console.print(
            "No AUC by kind: nothing moves outside the masks that could be compared with."
        )
    results = Results(loaded, chosen, plan, comparison, clips, f"{loaded.name} on {data}")
    for line in write(results, outputs):
        console.print(line)


def _choose_compositions(
    bundle: Bundle, score: str | None, scores: str
) -> tuple[str, dict[str, ScoreConfig]]:
    """Return the composition of the first figures, and all to measure. Raises: BadInput."""
    from model.scoring.score_config import list_scores

    known = list_scores(bundle.score)
    for option, value in (("--score", score), ("--scores", scores)):
        if value not in (None, *known) and not (option == "--scores" and value == ALL):
            raise BadInput(option, value, f"must be one of {', '.join(sorted(known))}")
    if scores == ALL:
        return score or bundle.score.name, known
    if score not in (None, scores):
        raise BadInput("--score", score, f"isn't measured with --scores {scores}")
    return scores, {scores: known[scores]}


def _make_plan(
    bundle: Bundle,
    scores: dict[str, ScoreConfig],
    memory: Sequence[str] | None,
    gamma: float | None,
    fps: float | None,
    *,
    baselines: bool,
    figure: str | None,
) -> Plan:
    from model.evaluation.comparison import Plan
    from model.network.network_config import MemoryKind
    from model.network.update_rules import UPDATE_RULES

    rules = tuple(dict.fromkeys(memory or ("paper",)))
    if ALL in rules:
        # MemAE's items never change; only reading can be switched.
        fixed = bundle.config.memory is MemoryKind.MEMAE
        rules = ("frozen", "off") if fixed else tuple(UPDATE_RULES)
    for rule in rules:
        if rule not in UPDATE_RULES:
            names = ", ".join((*UPDATE_RULES, ALL))
            raise BadInput("--memory", rule, f"must be one of {names}")
    if fps is not None and not 0.0 < fps < math.inf:
        raise BadInput("--fps", fps, "must be a number above 0")
    plan = Plan(
        rules=rules,
        scores=scores,
        gamma=gamma,
        baselines=baselines,
        fps=fps or bundle.provenance.frame_rate or DEFAULT_FPS,
        keep=frozenset() if figure is None else frozenset({figure}),
    )
    plan.options(rules[0])  # refuses a gamma that isn't a number
    return plan


def _read(
    bundle: Bundle, labelled: Sequence[TestClip], normal: Path | None, console: Console
) -> tuple[list[Clip], list[Clip]]:
    """Read the test clips and the normal footage. Raises: LabelError, BadInput, FootageError."""
    from model.data.labels import LabelError
    from model.footage.clips import open_frame_store
    from model.footage.footage_error import FootageError
    from model.footage.footage_reader import FootageReader
    from model.footage.footage_search import find_footage

    try:
        usual = find_footage([str(normal)]).sources if normal is not None else []
    except FootageError as error:
        raise BadInput("--normal", str(normal), str(error)) from None
    with (
        open_frame_store(bundle.frame_shape) as tests,
        open_frame_store(bundle.frame_shape) as normals,
        Progress(console=console, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("reading", total=len(labelled) + len(usual))
        for clip in labelled:
            added = tests.add(FootageReader(clip.source), whole=True)
            if added.frames != len(clip.abnormal):
                raise LabelError(
                    f"clip {clip.source.name} has {added} but {len(clip.abnormal)} labels"
                )
            bar.advance(task)
        for source in usual:
            normals.add(FootageReader(source))
            bar.advance(task)
        return tests.clips(), normals.clips()


def _show(console: Console, comparison: Comparison, bundle: Bundle, score: str) -> None:
    from service.cli.evaluation_tables import make_tables

    for table in make_tables(comparison, bundle.name, score):
        console.print(table)
    rule, first = next(iter(comparison.rules.items()))
    console.print(
        f"{comparison.frames} frames, {first.scored} scored, {comparison.abnormal} abnormal."
    )
    if first.memory is not None:
        console.print(
            f"γ {first.memory.gamma:.5f}, memory rule {rule}: "
            f"{first.memory.updated_share:.1%} of frames updated the memory."
        )
    normal = bundle.calibration.normal
    missing = [
        name
        for name, each in first.figures.items()
        if normal and not normal.covers(each.evaluation.score)
    ]
    if missing:
        console.print(
            f"No causal score {', '.join(missing)}: the bundle has no normal range of that error."
        )
    for judged in list(comparison.baselines.values())[:1]:
        if judged.start is not None and not judged.start.normal_footage:
            console.print(
                f"The baselines' ranges start from the first {judged.start.frames} test frames, "
                "which have no causal score there, and they have no threshold: --normal gives both."
            )
