"""Puts what stands still into a frame's result."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from model.detect.observation import Observation
from model.scoring.cause import Cause
from model.standing.things import StandingThing
from model.standing.watch import place_above


def add_standing(result: Observation, thing: StandingThing | None) -> Observation:
    """Return the result with the standing score.

    Something that has stood for the dwell time raises the score above the threshold, unless the
    score is higher already; region and heat then show it. A result without a score stays without.
    """
    before, threshold = result.score, result.threshold
    if before is None:
        return result
    share = 0.0 if thing is None else thing.share
    result = replace(result, standing=share)
    if thing is None or share < 1.0 or threshold is None:
        return result
    score = place_above(threshold)
    if score <= before:
        return result
    heat = result.heat
    if heat is not None:
        rows, columns = heat.shape
        cells = cv2.resize(
            thing.cells.astype(np.float32), (columns, rows), interpolation=cv2.INTER_NEAREST
        )
        heat = np.maximum(heat, cells)
    return replace(result, score=score, cause=Cause.STANDING, region=thing.box, heat=heat)
