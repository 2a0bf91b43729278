"""Why a stream has no scores, as sentences for its status, its log and the page."""

from __future__ import annotations

from model.detect.observation import Withheld

CONNECTING = "connecting to the source"
OPENING = "the source is being opened"
ENDED = "the source was played to its end"
UNREADABLE = "the source can't be read"
STALLED = "connected, but no picture comes"
FROZEN = "the same picture comes again and again"


def warming_reason(withheld: Withheld, seen: int, needed: int) -> str:
    """Why the newest frame got no score.

    Args:
        seen: frames since the start or the last cut.
        needed: frames before the one that is scored.
    """
    match withheld:
        case Withheld.NO_RANGE:
            return "no normal range is known for this model: import it again with --normal"
        case Withheld.UNFIT:
            return "the picture doesn't fit the scene: the camera may be covered or turned"
        case Withheld.CHANGED:
            return "the light or the scene changed as a whole: learning it again"
        case Withheld.FEW_FRAMES:
            return f"{seen} of {needed} frames seen before the next score"


def overload_reason(fps: float, target: float | None) -> str:
    """Why not all frames of a camera are scored.

    Args: fps: frames scored a second. target: frames a second to score, if there is a target.
    """
    if target is None:
        return f"the worker is overloaded: {fps:.1f} frames a second are scored"
    # What comes unevenly may be more for a moment.
    scored = f"{min(fps, target):.1f} of {target:g}"
    return f"the worker is overloaded: {scored} frames a second are scored"
