"""Makes the message that reports a frame's score."""

from __future__ import annotations

from model.detect.observation import Observation
from model.scene.features import Features, extract
from service.infer.frame_sources import SourceFrame
from service.messages import FrameScore, StreamState

_MEASURES = (
    "psnr",
    "distance",
    "gate_error",
    "score",
    "standing",
    "cause",
    "threshold",
    "region",
)


def build_frame_score(
    frame: SourceFrame,
    seen: Observation,
    *,
    epoch: int,
    cut: bool,
    scored_at: float,
    is_misfit: bool = False,
) -> FrameScore:
    """Build the message; while the camera warms up it holds no measures and no score.

    Args:
        cut: no score of the frame's run was sent before.
        is_misfit: the model doesn't know the camera.
    """
    state, measures = StreamState.OBSCURED if seen.obscured else StreamState.WARMING, {}
    if not seen.warming:
        state = StreamState.MISFIT if is_misfit else StreamState.LIVE
        measures = {name: getattr(seen, name) for name in _MEASURES}
    return FrameScore(
        frame=frame.frame,
        epoch=epoch,
        captured_at=frame.captured_at,
        scored_at=scored_at,
        memory_updated=seen.memory_updated,
        state=state,
        cut=cut,
        **measures,
    )


def find_features(frame: SourceFrame) -> Features:
    """Return the features that came with a frame, or else extract them now."""
    return frame.features or extract(frame.pixels, frame.captured_at)
