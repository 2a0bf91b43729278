"""The files that `normwatch evaluate` writes: figures as JSON, curves, and one frame drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from service.cli.outputs import check_file
from service.errors import BadInput

if TYPE_CHECKING:
    from model.bundles.bundle import Bundle
    from model.evaluation.comparison import Comparison, Plan
    from model.footage.clips import Clip


@dataclass(frozen=True, slots=True)
class Outputs:
    """Files to write."""

    json_file: Path | None
    plot: Path
    figure: str | None
    figure_frame: int | None
    figure_out: Path

    def check(self) -> None:
        """Refuse what can't be written before anything takes time. Raises: BadInput."""
        files = {"--json": self.json_file, "--plot": self.plot}
        if self.figure is not None:
            files["--figure-out"] = self.figure_out
        elif self.figure_frame is not None:
            raise BadInput("--figure-frame", self.figure_frame, "needs --figure CLIP")
        for option, path in files.items():
            check_file(option, path)


@dataclass(frozen=True, slots=True)
class Results:
    """Results to write."""

    bundle: Bundle
    score: str
    """Name of the composition that is drawn, and that comes first in the JSON."""
    plan: Plan
    comparison: Comparison
    clips: Sequence[Clip]
    title: str


def write(results: Results, outputs: Outputs) -> Iterator[str]:
    """Write the files one by one, each followed by a line that says where it is."""
    from model.evaluation.evaluation_report import to_json
    from model.evaluation.score_plots import plot_evaluation

    comparison, plan, score = results.comparison, results.plan, results.score
    first = comparison.rules[plan.rules[0]].figures_for(score)
    baselines = {
        f"{name}, {each.nearest_score(score)}": each.figures_for(score).evaluation
        for name, each in comparison.baselines.items()
    }
    plot_evaluation(first.evaluation, first.threshold, results.title, outputs.plot, baselines)
    yield f"curves: {outputs.plot}"
    if outputs.json_file is not None:
        figures = to_json(comparison, plan, bundle=results.bundle.name, score=score)
        outputs.json_file.write_text(json.dumps(figures, indent=2) + "\n")
        yield f"figures: {outputs.json_file}"
    if outputs.figure is not None:
        index = _draw_moment(results, outputs)
        yield f"frame {index} of clip {outputs.figure}: {outputs.figure_out}"


def _draw_moment(results: Results, outputs: Outputs) -> int:
    """Draw the frame that `--figure` asks for; returns which one it is."""
    from model.detect.detector import Detector
    from model.evaluation.replay import find_highest_frame, replay
    from model.evaluation.score_plots import plot_moment

    rule = results.plan.rules[0]
    figures = results.comparison.rules[rule].figures_for(results.score)
    clip = next(clip for clip in results.clips if clip.name == outputs.figure)
    scored = next(each for each in figures.evaluation.clips if each.name == clip.name)
    index = outputs.figure_frame
    if index is None:
        index = find_highest_frame(scored.causal, scored.abnormal)
    moment = replay(
        Detector(results.bundle),
        results.comparison.states[clip.name],
        clip,
        scored,
        index,
        options=results.plan.options(rule),
    )
    title = f"{results.bundle.name}, clip {clip.name}, frame {index}"
    plot_moment(moment, figures.threshold, title, outputs.figure_out)
    return index
