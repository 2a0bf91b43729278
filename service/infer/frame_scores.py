"""Builds the score that is sent of an observed frame."""

from __future__ import annotations

from model.detect.observation import Observation
from service.infer.frame_sources import SourceFrame
from service.messages import FrameScore, StreamState


def build_frame_score(
    frame: SourceFrame, seen: Observation, *, epoch: int, cut: bool, scored_at: float
) -> FrameScore:
    """Build the message; while the camera warms up it holds no measures and no score.

    Args: cut: no score of the frame's run was sent before.
    """
    if seen.warming:
        return FrameScore(
            frame=frame.frame,
            epoch=epoch,
            captured_at=frame.captured_at,
            scored_at=scored_at,
            memory_updated=seen.memory_updated,
            state=StreamState.OBSCURED if seen.obscured else StreamState.WARMING,
            cut=cut,
        )
    return FrameScore(
        frame=frame.frame,
        epoch=epoch,
        captured_at=frame.captured_at,
        scored_at=scored_at,
        psnr=seen.psnr,
        distance=seen.distance,
        gate_error=seen.gate_error,
        score=seen.score,
        threshold=seen.threshold,
        memory_updated=seen.memory_updated,
        state=StreamState.LIVE,
        region=seen.region,
        cut=cut,
    )
