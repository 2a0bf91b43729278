"""Region- and track-based detection criteria (RBDC, TBDC) from heat maps and pixel masks.

Both are from B. Ramachandra and M. Jones, "Street Scene: A new dataset and evaluation protocol for
video anomaly detection", WACV 2020.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.evaluation.tracks import (
    LEAST_PIXELS,
    Boxes,
    find_component_boxes,
    follow,
    intersection_over_union,
)

Heat = NDArray[np.floating]
"""(T, rows, columns): higher where the picture is less normal; any grid over the picture."""

HIT_IOU = 0.1
"""β of the paper: a detection finds a region if it overlaps it by this much."""

TRACK_SHARE = 0.1
"""α of the paper: a track is found if this share of its regions is."""

THRESHOLDS = 100
"""At most this many thresholds are tried, spread over the heat of the frames."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The outcome at one threshold."""

    threshold: float
    false_positives: float
    """Detections a frame that overlap no abnormal region, over normal and abnormal frames."""
    regions: float
    """Share of abnormal regions found."""
    tracks: float
    """Share of abnormal tracks found."""


@dataclass(frozen=True, slots=True)
class Criteria:
    """RBDC and TBDC in percent, None if the masks hold no region."""

    rbdc: float | None
    tbdc: float | None
    points: tuple[OperatingPoint, ...] = ()
    """From the highest threshold to the first with more than one false positive a frame."""


@dataclass(frozen=True, slots=True)
class _Truth:
    """The abnormal regions of one clip."""

    boxes: list[Boxes]
    """The boxes of each frame, in pixels of the mask."""
    tracks: list[list[tuple[int, int]]]
    """Each track as pairs of a frame and the index of its box."""
    size: tuple[int, int]
    """Rows, columns of the mask."""
    peaks: NDArray[np.floating]
    """The largest heat of each frame."""


def measure_criteria(heat: Sequence[Heat], masks: Iterable[NDArray[np.bool_]]) -> Criteria:
    """Compute RBDC and TBDC: the areas under the shares of regions and of tracks found, over the
    false positives a frame from 0 to 1.

    Detections are the 8-connected components of the heat at or above a threshold, as boxes;
    abnormal regions are those of the masks. A detection that overlaps no region at HIT_IOU is a
    false positive, and one region may be found by several. The masks of the common data sets name
    no tracks, so regions are linked over frames by overlap (see `tracks.follow`); figures of papers
    that used hand-made tracks are therefore near, not equal. Lowering the threshold lets detections
    melt together, so the curve is the best share found up to each false positive rate, straight
    between its points, and level behind the last one where the rate never reaches 1.

    Args:
        heat: one (T, rows, columns) a clip; all zero in frames without a score.
        masks: one (T, rows, columns) a clip, True on abnormal pixels; taken one by one.
    Raises: ValueError: heat and masks differ in clips or frames.
    """
    truths = [_make_truth(clip_heat, mask) for clip_heat, mask in zip(heat, masks, strict=True)]
    if not any(len(truth.tracks) for truth in truths):
        return Criteria(None, None)
    points: list[OperatingPoint] = []
    for threshold in _choose_thresholds(heat, truths):
        points.append(_measure_point(heat, truths, threshold))
        if points[-1].false_positives > 1.0:
            break
    rates = [point.false_positives for point in points]
    return Criteria(
        rbdc=100.0 * measure_area_to_one(rates, [point.regions for point in points]),
        tbdc=100.0 * measure_area_to_one(rates, [point.tracks for point in points]),
        points=tuple(points),
    )


def measure_area_to_one(rates: Sequence[float], shares: Sequence[float]) -> float:
    """Compute the area under the best share found up to each rate, for rates from 0 to 1."""
    order = np.lexsort((shares, rates))
    x = np.concatenate(([0.0], np.asarray(rates, np.float64)[order]))
    y = np.maximum.accumulate(np.concatenate(([0.0], np.asarray(shares, np.float64)[order])))
    # `interp` takes the last of equal rates, which is the best.
    last = np.append(x[1:] != x[:-1], True)
    at_one = float(np.interp(1.0, x[last], y[last]))
    inside = x < 1.0
    x, y = np.append(x[inside], 1.0), np.append(y[inside], at_one)
    return float(np.sum((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2.0))


def _make_truth(heat: Heat, masks: NDArray[np.bool_]) -> _Truth:
    if len(heat) != len(masks):
        raise ValueError(f"a clip has {len(heat)} heat maps but {len(masks)} masks")
    boxes = [find_component_boxes(mask, LEAST_PIXELS) for mask in masks]
    tracks = [
        [
            (int(frame), int(np.flatnonzero((boxes[frame] == box).all(axis=1))[0]))
            for frame, box in zip(track.frames, track.boxes, strict=True)
        ]
        for track in follow(boxes)
    ]
    return _Truth(boxes, tracks, (int(masks.shape[1]), int(masks.shape[2])), heat.max(axis=(1, 2)))


def _choose_thresholds(heat: Sequence[Heat], truths: Sequence[_Truth]) -> list[float]:
    """Choose falling thresholds: half of them split the frames by hottest cell, half all cells."""
    peaks = np.concatenate([truth.peaks for truth in truths]).astype(np.float64)
    cells = np.concatenate(
        [clip.reshape(-1)[:: _choose_stride(heat)].astype(np.float64) for clip in heat]
    )
    shares = np.linspace(0.0, 1.0, THRESHOLDS // 2)
    chosen = np.concatenate(
        [
            np.quantile(peaks, 1.0 - shares, method="higher"),
            np.quantile(cells, 1.0 - shares**3, method="higher"),
        ]
    )
    return sorted({float(value) for value in chosen if value > 0.0}, reverse=True)


def _choose_stride(heat: Sequence[Heat]) -> int:
    return max(1, sum(clip.size for clip in heat) // 4_000_000)


def _measure_point(
    heat: Sequence[Heat], truths: Sequence[_Truth], threshold: float
) -> OperatingPoint:
    false_positives = regions = found = tracks = tracks_found = 0
    for clip, truth in zip(heat, truths, strict=True):
        hits: list[NDArray[np.bool_]] = []
        for index, boxes in enumerate(truth.boxes):
            hits.append(np.zeros(len(boxes), np.bool_))
            regions += len(boxes)
            if truth.peaks[index] < threshold:
                continue
            detected = _find_detections(clip[index], threshold, truth.size)
            overlaps = intersection_over_union(detected, boxes) >= HIT_IOU
            false_positives += len(detected) - int(overlaps.any(axis=1).sum())
            hits[-1] |= overlaps.any(axis=0)
            found += int(hits[-1].sum())
        for track in truth.tracks:
            share = sum(bool(hits[frame][box]) for frame, box in track) / len(track)
            tracks_found += share >= TRACK_SHARE
            tracks += 1
    frames = sum(map(len, heat))
    return OperatingPoint(
        threshold, false_positives / frames, found / regions, tracks_found / tracks
    )


def _find_detections(
    values: NDArray[np.floating], threshold: float, size: tuple[int, int]
) -> Boxes:
    """Find the boxes of components at or above the threshold, in pixels of a mask of this size."""
    hot = np.asarray(values >= threshold)
    down, across = size[0] / values.shape[0], size[1] / values.shape[1]
    return np.asarray(
        find_component_boxes(hot) * np.array([across, down, across, down]), np.float64
    )
