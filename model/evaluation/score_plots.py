"""Draws scores as PNG files, by Matplotlib without a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from model.evaluation.accuracy import Labels, Scores
from model.evaluation.event_figures import find_runs
from model.evaluation.protocol import Evaluation
from model.evaluation.replay import Moment

ABNORMAL = "#d64545"
CURVE = "#1f5fa8"
OTHER = "#8a94a3"


BASELINES = ("#c98a1b", "#5a9367", "#8d5fb0")


def plot_evaluation(
    evaluation: Evaluation,
    threshold: float | None,
    title: str,
    path: Path,
    baselines: Mapping[str, Evaluation] = MappingProxyType({}),
) -> None:
    """Draw both protocols' curves over the labelled frames of all clips, and their ROC.

    The causal ROC of each baseline, by name, is added.
    """
    figure = Figure(figsize=(14, 9), layout="constrained")
    figure.suptitle(title, parse_math=False)
    axes = figure.subplot_mosaic([["causal", "causal"], ["offline", "offline"], ["roc", "text"]])
    abnormal = np.concatenate([clip.abnormal for clip in evaluation.clips])
    cuts = np.cumsum([len(clip.abnormal) for clip in evaluation.clips])[:-1]
    for protocol in ("causal", "offline"):
        scores = np.concatenate([getattr(clip, protocol) for clip in evaluation.clips])
        _draw_curve(axes[protocol], scores, abnormal, cuts.tolist())
        axes[protocol].set_ylabel(f"{protocol} score")
    if threshold is not None:
        axes["causal"].axhline(
            threshold, color=OTHER, linestyle="--", linewidth=1, label="threshold"
        )
    axes["causal"].legend(loc="upper left", fontsize="small")
    axes["offline"].set_xlabel("frame, all clips in a row")
    _draw_roc(axes["roc"], evaluation, baselines)
    _write_figures(axes["text"], evaluation)
    figure.savefig(path, dpi=110, format="png")


def plot_moment(moment: Moment, threshold: float | None, title: str, path: Path) -> None:
    """Draw a frame, its prediction, the error, the pooled map that the score uses, and the clip's
    scores."""
    figure = Figure(figsize=(15, 7), layout="constrained")
    figure.suptitle(title, parse_math=False)
    axes = figure.subplot_mosaic([["frame", "predicted", "error", "heat"], ["curve"] * 4])
    for name, picture in (("frame", moment.frame), ("predicted", moment.predicted)):
        axes[name].imshow(picture, cmap="gray", vmin=0, vmax=255)
        axes[name].set_title(name)
    height, width = moment.frame.shape[:2]
    difference = np.abs(moment.frame.astype(np.float32) - moment.predicted)
    error = difference.mean(axis=2) if difference.ndim == 3 else difference
    drawn = axes["error"].imshow(error, cmap="inferno")
    axes["error"].set_title("error, grey levels")
    figure.colorbar(drawn, ax=axes["error"], shrink=0.8)
    axes["heat"].imshow(moment.frame, cmap="gray", vmin=0, vmax=255)
    heat = axes["heat"].imshow(
        moment.heat,
        cmap="inferno",
        alpha=0.6,
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="bilinear",
    )
    axes["heat"].set_title("what the score sees (1: normal footage's most)")
    figure.colorbar(heat, ax=axes["heat"], shrink=0.8)
    for name in ("frame", "predicted", "error", "heat"):
        axes[name].axis("off")
    _draw_curve(axes["curve"], moment.scores, moment.abnormal, [])
    axes["curve"].axvline(moment.index, color=ABNORMAL, linewidth=1, label="this frame")
    if threshold is not None:
        axes["curve"].axhline(
            threshold, color=OTHER, linestyle="--", linewidth=1, label="threshold"
        )
    axes["curve"].legend(loc="upper left", fontsize="small")
    axes["curve"].set(xlabel="frame", ylabel="causal score")
    figure.savefig(path, dpi=110, format="png")


def plot_scores(scores: Scores, threshold: float | None, title: str, path: Path) -> None:
    """Draw one recording's score curve; NaN leaves a gap."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    axes = figure.add_subplot()
    _draw_curve(axes, scores, np.zeros(len(scores), bool), [])
    if threshold is not None:
        axes.axhline(threshold, color=OTHER, linestyle="--", linewidth=1, label="threshold")
    axes.legend(loc="upper left", fontsize="small")
    axes.set(xlabel="frame", ylabel="score")
    axes.set_title(title, parse_math=False)
    figure.savefig(path, dpi=110, format="png")


def _draw_curve(axes: Axes, scores: Scores, abnormal: Labels, cuts: Sequence[int]) -> None:
    for index, (start, stop) in enumerate(find_runs(abnormal)):
        axes.axvspan(
            start, stop, color=ABNORMAL, alpha=0.15, label=None if index else "labelled abnormal"
        )
    for cut in cuts:
        axes.axvline(cut, color=OTHER, linewidth=0.6)
    axes.plot(scores, color=CURVE, linewidth=1, label="score")
    axes.set_xlim(0, max(len(scores), 1))


def _draw_roc(axes: Axes, evaluation: Evaluation, baselines: Mapping[str, Evaluation]) -> None:
    _draw_roc_curve(axes, evaluation, "causal", CURVE, "causal")
    _draw_roc_curve(axes, evaluation, "offline", OTHER, "offline")
    for index, (name, baseline) in enumerate(baselines.items()):
        _draw_roc_curve(
            axes, baseline, "causal", BASELINES[index % len(BASELINES)], f"{name}, causal"
        )
    axes.plot([0, 1], [0, 1], color=OTHER, linewidth=0.6, linestyle=":")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    if evaluation.causal.micro is not None:
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), fontsize="small")


def _draw_roc_curve(
    axes: Axes, evaluation: Evaluation, protocol: str, colour: str, name: str
) -> None:
    auc = getattr(evaluation, protocol).micro
    if auc is None:
        return
    abnormal = np.concatenate([clip.abnormal for clip in evaluation.clips])
    scores = np.concatenate([getattr(clip, protocol) for clip in evaluation.clips])
    known = ~np.isnan(scores)
    false_alarms, hits, _ = roc_curve(abnormal[known], scores[known])
    axes.plot(false_alarms, hits, color=colour, label=f"{name}: AUC {auc:.1f} %")


def _write_figures(axes: Axes, evaluation: Evaluation) -> None:
    axes.axis("off")
    lines = [f"score: {evaluation.score.name}", ""]
    for protocol in ("offline", "causal"):
        figures = getattr(evaluation, protocol)
        for name in ("micro", "macro", "average_precision", "equal_error_rate"):
            value = getattr(figures, name)
            text = "n/a" if value is None else f"{value:.2f} %"
            lines.append(f"{protocol:8}{name.replace('_', ' '):18}{text:>9}")
    axes.text(0, 1, "\n".join(lines), family="monospace", va="top", transform=axes.transAxes)
