"""Frame-level figures: how well scores tell abnormal frames from normal ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Frame-level figures, in percent; None if all labels are the same."""

    micro: float | None
    """AUC over all frames of all clips together."""
    macro: float | None
    """Mean of the AUCs of the clips that hold both kinds."""
    average_precision: float | None
    equal_error_rate: float | None


def compute_accuracy(abnormal: Sequence[Labels], scores: Sequence[Scores]) -> Accuracy:
    """Compute the figures; frames without a score (the first of each clip) are left out."""
    pairs = [
        (labels[~np.isnan(values)], values[~np.isnan(values)])
        for labels, values in zip(abnormal, scores, strict=True)
    ]
    labels = np.concatenate([pair[0] for pair in pairs])
    values = np.concatenate([pair[1] for pair in pairs])
    aucs = [compute_auc(*pair) for pair in pairs]
    both = [value for value in aucs if value is not None]
    micro = compute_auc(labels, values)
    return Accuracy(
        micro=micro,
        macro=float(np.mean(both)) if both else None,
        average_precision=None
        if micro is None
        else 100.0 * float(average_precision_score(labels, values)),
        equal_error_rate=None if micro is None else _equal_error_rate(labels, values),
    )


def to_array(scores: Sequence[float | None]) -> Scores:
    """Convert scores to an array; None becomes NaN."""
    return np.array([np.nan if score is None else score for score in scores], np.float64)


def compute_auc(labels: Labels, values: Scores) -> float | None:
    """Compute the area under the ROC, in percent; None if all labels are the same."""
    if labels.all() or not labels.any():
        return None
    return 100.0 * float(roc_auc_score(labels, values))


def _equal_error_rate(labels: Labels, values: Scores) -> float:
    false_alarms, hits, _ = roc_curve(labels, values)
    index = int(np.argmin(np.abs(false_alarms - (1.0 - hits))))
    return 50.0 * float(false_alarms[index] + 1.0 - hits[index])
