"""Pictures of scores, drawn by Matplotlib without a screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from model.evaluation.accuracy import Labels, Scores
from model.evaluation.protocol import Evaluation

ABNORMAL = "#d64545"
CURVE = "#1f5fa8"
OTHER = "#8a94a3"


def plot_evaluation(
    evaluation: Evaluation, threshold: float | None, title: str, path: Path
) -> None:
    """Both protocols' curves over the labelled spans of all clips, and their ROC, as PNG."""
    figure = Figure(figsize=(14, 9), layout="constrained")
    figure.suptitle(title, parse_math=False)
    axes = figure.subplot_mosaic([["causal", "causal"], ["offline", "offline"], ["roc", "text"]])
    abnormal = np.concatenate([clip.abnormal for clip in evaluation.clips])
    cuts = np.cumsum([len(clip.abnormal) for clip in evaluation.clips])[:-1]
    for protocol in ("causal", "offline"):
        scores = np.concatenate([getattr(clip, protocol) for clip in evaluation.clips])
        _curve(axes[protocol], scores, abnormal, cuts.tolist())
        axes[protocol].set_ylabel(f"{protocol} score")
    if threshold is not None:
        axes["causal"].axhline(
            threshold, color=OTHER, linestyle="--", linewidth=1, label="threshold"
        )
    axes["causal"].legend(loc="upper left", fontsize="small")
    axes["offline"].set_xlabel("frame, all clips in a row")
    _roc(axes["roc"], evaluation)
    _figures(axes["text"], evaluation)
    figure.savefig(path, dpi=110, format="png")


def plot_scores(scores: Scores, threshold: float | None, title: str, path: Path) -> None:
    """One recording's score curve as PNG; NaN leaves a gap."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    axes = figure.add_subplot()
    _curve(axes, scores, np.zeros(len(scores), bool), [])
    if threshold is not None:
        axes.axhline(threshold, color=OTHER, linestyle="--", linewidth=1, label="threshold")
    axes.legend(loc="upper left", fontsize="small")
    axes.set(xlabel="frame", ylabel="score")
    axes.set_title(title, parse_math=False)
    figure.savefig(path, dpi=110, format="png")


def _curve(axes: Axes, scores: Scores, abnormal: Labels, cuts: Sequence[int]) -> None:
    for index, (start, stop) in enumerate(spans(abnormal)):
        axes.axvspan(
            start, stop, color=ABNORMAL, alpha=0.15, label=None if index else "labelled abnormal"
        )
    for cut in cuts:
        axes.axvline(cut, color=OTHER, linewidth=0.6)
    axes.plot(scores, color=CURVE, linewidth=1, label="score")
    axes.set_xlim(0, max(len(scores), 1))


def spans(abnormal: Labels) -> list[tuple[int, int]]:
    """Runs of True as (first, one after the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], abnormal.astype(np.int8), [0]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _roc(axes: Axes, evaluation: Evaluation) -> None:
    abnormal = np.concatenate([clip.abnormal for clip in evaluation.clips])
    for protocol, colour in (("causal", CURVE), ("offline", OTHER)):
        scores = np.concatenate([getattr(clip, protocol) for clip in evaluation.clips])
        known = ~np.isnan(scores)
        auc = getattr(evaluation, protocol).micro
        if auc is None:
            continue
        false_alarms, hits, _ = roc_curve(abnormal[known], scores[known])
        axes.plot(false_alarms, hits, color=colour, label=f"{protocol}: AUC {auc:.1f} %")
    axes.plot([0, 1], [0, 1], color=OTHER, linewidth=0.6, linestyle=":")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    if evaluation.causal.micro is not None:
        axes.legend(loc="lower right", fontsize="small")


def _figures(axes: Axes, evaluation: Evaluation) -> None:
    axes.axis("off")
    lines = [f"score: {evaluation.score.name}", ""]
    for protocol in ("offline", "causal"):
        figures = getattr(evaluation, protocol)
        for name in ("micro", "macro", "average_precision", "equal_error_rate"):
            value = getattr(figures, name)
            text = "n/a" if value is None else f"{value:.2f} %"
            lines.append(f"{protocol:8}{name.replace('_', ' '):18}{text:>9}")
    axes.text(0, 1, "\n".join(lines), family="monospace", va="top", transform=axes.transAxes)
