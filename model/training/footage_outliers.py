"""Finds stretches of footage in which what moves is unlike the rest: much larger and faster.

Things are cut out as foreground, in full pictures. Each one's size and speed are compared with
those of the others at the same height in the picture. docs/studies/check.md has the figures.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from model.footage.clips import Clip
from model.training.cutouts import Picture, estimate_background, find_foreground
from model.training.footage_samples import FootageSamples

LEAST_AREA = 0.0005
"""A thing covers at least this share of the picture."""
MOST_CLOSE_SAMPLES = 2000
"""At most so many samples are read at full size, evenly spread: all of 10 minutes of footage."""
LEAST_THINGS = 100
"""With fewer things nothing is said to be unlike them."""
BANDS = 6
"""Things are compared with those in the same band of heights."""
LEAST_DEVIATION = 0.2
"""In logarithms of sizes and speeds: where all things are alike, a fifth more is one deviation."""
LEAST_SPREAD = 0.5
"""In such deviations: the samples of footage never differ by less."""
MOST_DEVIATIONS = 3.0
"""Outliers are so many deviations above the median of all samples, size and speed together."""
MOST_SHARE = 0.05
"""No more than this share of the samples are outliers."""
NEAR_LOOKS = 2
"""A sample counts as the median of so many before and after it: things stay for a second."""
BACKGROUND_FRAMES = 3000
"""A background is estimated for each run of so many frames,"""
BACKGROUND_SAMPLES = 30
"""from so many of them."""


def find_outliers(
    clips: Sequence[Clip], samples: FootageSamples, is_kept: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return the samples, of those that are kept, in which something is unlike the rest."""
    outliers = np.zeros(len(samples), np.bool_)
    kept = np.flatnonzero(is_kept)
    chosen = kept[:: max(1, -(-len(kept) // MOST_CLOSE_SAMPLES))]
    things = _measure_things(clips, samples, chosen)
    if len(things) < LEAST_THINGS:
        return outliers
    strangeness = _rate_samples(things, len(samples))
    rated = np.flatnonzero(~np.isnan(strangeness))
    smooth = np.array([_find_near_median(strangeness, rated, at) for at in range(len(rated))])
    middle = float(np.median(smooth))
    deviation = 1.4826 * float(np.median(np.abs(smooth - middle)))
    spread = max(deviation, LEAST_SPREAD)
    limit = max(middle + MOST_DEVIATIONS * spread, float(np.quantile(smooth, 1.0 - MOST_SHARE)))
    outliers[rated[smooth > limit]] = True
    return outliers


def _measure_things(
    clips: Sequence[Clip], samples: FootageSamples, chosen: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return a row for each thing: its sample, its lower edge, logarithms of area and speed."""
    rows: list[tuple[float, ...]] = []
    firsts = np.cumsum([0, *map(len, clips)])
    behind: tuple[int, int, Picture] | None = None
    for sample in chosen:
        clip_index = int(np.searchsorted(firsts, samples.positions[sample], "right")) - 1
        frames = clips[clip_index].frames
        index = int(samples.positions[sample] - firsts[clip_index])
        if index + 1 >= len(frames):
            continue
        chunk = index // BACKGROUND_FRAMES
        if behind is None or behind[:2] != (clip_index, chunk):
            first = chunk * BACKGROUND_FRAMES
            background = estimate_background(
                frames[first : first + BACKGROUND_FRAMES], BACKGROUND_SAMPLES
            )
            behind = clip_index, chunk, background
        here, after = _to_grey(frames[index]), _to_grey(frames[index + 1])
        rows += [(float(sample), *each) for each in _list_things(here, after, behind[2])]
    return np.array(rows, np.float64).reshape(-1, 4)


def _to_grey(frame: NDArray[np.uint8]) -> Picture:
    grey = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return grey.astype(np.float32)


def _list_things(here: Picture, after: Picture, behind: Picture) -> list[tuple[float, ...]]:
    mask = find_foreground(here, behind)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    least = LEAST_AREA * mask.size
    things: list[tuple[float, ...]] = []
    for number in range(1, count):
        x, y, width, height, area = (int(each) for each in stats[number])
        if area < least:
            continue
        box = slice(y, y + height), slice(x, x + width)
        inside = labels[box] == number
        slope = np.abs(cv2.Sobel(here[box], cv2.CV_32F, 1, 0)) / 8.0
        change = np.abs(after[box] - here[box])
        # The change from frame to frame by the slope of the picture is about the pixels moved.
        speed = float(change[inside].sum()) / (float(slope[inside].sum()) + 1.0)
        things.append((float(y + height), float(np.log(area)), float(np.log(speed + 1e-3))))
    return things


def _rate_samples(things: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Rate each sample: the deviations, in size and speed, of its strangest thing, or NaN."""
    lower = things[:, 1]
    edges = np.quantile(lower, np.linspace(0.0, 1.0, BANDS + 1))
    deviations = np.zeros(len(things))
    for values in (things[:, 2], things[:, 3]):
        middles, medians, spreads = [], [], []
        for top, bottom in itertools.pairwise(edges):
            inside = (lower >= top) & (lower <= bottom)
            median = float(np.median(values[inside]))
            spread = 1.4826 * float(np.median(np.abs(values[inside] - median)))
            middles.append(float(np.median(lower[inside])))
            medians.append(median)
            spreads.append(max(spread, LEAST_DEVIATION))
        usual = np.interp(lower, middles, medians)
        deviations += (values - usual) / np.interp(lower, middles, spreads)
    rated = np.full(count, -np.inf)
    np.maximum.at(rated, things[:, 0].astype(np.int64), deviations)
    return np.where(np.isneginf(rated), np.nan, rated)


def _find_near_median(strangeness: NDArray[np.float64], rated: NDArray[np.intp], at: int) -> float:
    near = rated[max(0, at - NEAR_LOOKS) : at + NEAR_LOOKS + 1]
    apart = np.abs(near - rated[at]) <= 2 * NEAR_LOOKS
    return float(np.median(strangeness[near[apart]]))
