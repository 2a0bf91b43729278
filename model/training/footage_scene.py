"""Finds samples of footage that don't show the scene: dead, covered, or while the light changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.scene.exposure import NO_EXPOSURE, Exposure, estimate_exposure
from model.scene.light_changes import LevelHistory
from model.scene.scene_features import (
    Levels,
    average_cells,
    extract_scene_features,
    measure_share,
)
from model.scene.scene_phases import ComparedFrame
from model.scene.scene_reference import SceneReference
from model.scene.scene_rules import SceneRules
from model.training.footage_samples import FootageSamples

RULES = SceneRules(steps=((1, 0.06), (4, 0.10), (12, 0.20)))
"""The scene's rules, for samples some 0.3 s apart instead of frames at 10 a second."""
UNIFORM_LEVELS = 3.0
"""A picture is uniform if its grey levels deviate by less: it is black, or has no signal."""
FROZEN_LOOKS = 15
"""A camera's picture is frozen if so many samples in a row are equal to the bit: some 5 s."""
USUAL_SHARE = 0.5
"""But not if more than this share of all samples are: drawings and screens stand still."""
MOST_LEARNED = 400
"""The scene's edges are a mean over so many samples, evenly spread."""


def find_dead(samples: FootageSamples) -> NDArray[np.bool_]:
    """Find uniform and frozen pictures."""
    deviations = np.array([thumb.std() for thumb in samples.thumbs])
    dead = np.asarray(deviations < UNIFORM_LEVELS, np.bool_)
    if len(samples) < 2:
        return dead
    equal = np.zeros(len(samples), np.bool_)
    same = (samples.thumbs[1:] == samples.thumbs[:-1]).all(axis=(1, 2))
    equal[1:] = same & samples.follows[1:] & ~dead[1:]
    if equal.mean() > USUAL_SHARE:
        return dead
    edges = np.flatnonzero(np.diff(np.concatenate(([0], equal.astype(np.int8), [0]))))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        if last - first >= FROZEN_LOOKS:
            dead[first:last] = True
    return dead


def find_other_views(samples: FootageSamples, is_alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find pictures that lack the edges which the footage has as a whole."""
    covered = np.zeros(len(samples), np.bool_)
    alive = np.flatnonzero(is_alive)
    if not len(alive):
        return covered
    chosen = alive[:: max(1, len(alive) // MOST_LEARNED)]
    reference = _learn_scene(samples, chosen)
    for index in alive:
        features = extract_scene_features(samples.thumbs[index], RULES.contrast)
        fits, textured = reference.compare_edges(features.edges)
        if np.count_nonzero(textured) >= RULES.least_textured:
            covered[index] = measure_share(fits[textured]) < RULES.obscured_share
    return covered


def find_light_changes(samples: FootageSamples, is_scene: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find samples in which the light differs from that shortly before. What the camera's exposure
    does to the whole picture, as when something large passes, is no change of the light."""
    changed = np.zeros(len(samples), np.bool_)
    seen = np.flatnonzero(is_scene)
    if not len(seen):
        return changed
    reference = _learn_scene(samples, seen[:: max(1, len(seen) // MOST_LEARNED)])
    history = LevelHistory(RULES)
    for index in range(len(samples)):
        if not samples.follows[index] or not is_scene[index]:
            history.clear()
        if not is_scene[index]:
            continue
        features = extract_scene_features(samples.thumbs[index], RULES.contrast)
        fits, textured = reference.compare_edges(features.edges)
        exposure = _estimate_exposure(reference, features.levels, fits)
        levels = exposure.undo_levels(features.levels)
        frame = ComparedFrame(features, levels, float(levels.mean()), fits, exposure)
        change, _ = history.find_change(frame, textured)
        if change is not None:
            changed[index] = True
            history.clear()
        history.append(frame)
    return changed


def _learn_scene(samples: FootageSamples, chosen: NDArray[np.intp]) -> SceneReference:
    reference = SceneReference(RULES)
    features = [extract_scene_features(samples.thumbs[each], RULES.contrast) for each in chosen]
    reference.edges = np.mean([each.edges for each in features], axis=0, dtype=np.float32)
    reference.picture = np.median([each.grey for each in features], axis=0).astype(np.float32)
    return reference


def _estimate_exposure(
    reference: SceneReference, levels: Levels, fits: NDArray[np.bool_]
) -> Exposure:
    return estimate_exposure(levels, average_cells(reference.picture), fits) or NO_EXPOSURE
