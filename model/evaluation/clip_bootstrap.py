"""Frame-level AUCs of resampled clips: how far a figure would move with other clips of the kind.

Frames of a clip resemble each other, so clips are drawn, not frames. An AUC is the share of pairs
of an abnormal and a normal frame that the scores put in order. Counting them once for each pair of
clips makes a thousand resamples cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.evaluation.accuracy import Labels, Scores

Counts = NDArray[np.float64]
"""(B, N): how often each of N clips is in each of B resamples."""


@dataclass(frozen=True, slots=True)
class FramePairs:
    """Pairs of an abnormal frame of one clip and a normal frame of another, of N clips."""

    won: NDArray[np.float64]
    """(N, N): pairs in which the abnormal frame of clip i has the higher score than the normal one
    of clip j; equal scores count half."""
    abnormal: NDArray[np.float64]
    """(N,): abnormal frames with a score."""
    normal: NDArray[np.float64]
    """(N,)"""


@dataclass(frozen=True, slots=True)
class AucInterval:
    """An AUC in percent, with the 95 % interval of its resamples."""

    auc: float
    low: float
    high: float


def count_pairs(labels: Sequence[Labels], scores: Sequence[Scores]) -> FramePairs:
    """Count the pairs of frames of these clips; NaN is a frame without a score."""
    known = [~np.isnan(each) for each in scores]
    high = [s[k & a] for s, a, k in zip(scores, labels, known, strict=True)]
    low = [np.sort(s[k & ~a]) for s, a, k in zip(scores, labels, known, strict=True)]
    won = np.array(
        [
            [
                0.5
                * (np.searchsorted(low_j, high_i) + np.searchsorted(low_j, high_i, "right")).sum()
                for low_j in low
            ]
            for high_i in high
        ],
        np.float64,
    )
    return FramePairs(
        won,
        np.array([len(each) for each in high], float),
        np.array([len(each) for each in low], float),
    )


def draw_counts(groups: Sequence[str], resamples: int, seed: int = 0) -> Counts:
    """Draw clips with replacement, as many of each group as there are."""
    random = np.random.default_rng(seed)
    names = np.array(groups)
    counts = np.zeros((resamples, len(names)))
    for name in dict.fromkeys(groups):
        members = np.flatnonzero(names == name)
        shares = np.full(len(members), 1.0 / len(members))
        counts[:, members] = random.multinomial(len(members), shares, resamples)
    return counts


def compute_aucs(pairs: FramePairs, counts: Counts) -> NDArray[np.float64]:
    """Compute each resample's micro AUC in percent, (B,); NaN without both kinds of frame."""
    won = np.einsum("bi,ij,bj->b", counts, pairs.won, counts)
    total = (counts @ pairs.abnormal) * (counts @ pairs.normal)
    return _divide(won, total)


def compute_group_aucs(
    pairs: FramePairs, counts: Counts, groups: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Compute the AUC of each group's abnormal frames against the normal frames of all clips."""
    names = np.array(groups)
    found = {}
    for name in dict.fromkeys(groups):
        chosen = counts * (names == name)
        won = np.einsum("bi,ij,bj->b", chosen, pairs.won, counts)
        total = (chosen @ pairs.abnormal) * (counts @ pairs.normal)
        found[name] = _divide(won, total)
    return found


def _divide(won: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.divide(won, total, out=np.full(len(won), np.nan), where=total > 0)
    return np.asarray(100.0 * shares, np.float64)


def estimate_auc(
    labels: Sequence[Labels], scores: Sequence[Scores], resamples: int = 1000, seed: int = 0
) -> AucInterval | None:
    """Estimate the micro AUC over these clips; None if one kind of frame is missing."""
    pairs = count_pairs(labels, scores)
    whole = compute_aucs(pairs, np.ones((1, len(labels))))[0]
    if np.isnan(whole):
        return None
    drawn = compute_aucs(pairs, draw_counts([""] * len(labels), resamples, seed))
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return AucInterval(float(whole), float(low), float(high))
