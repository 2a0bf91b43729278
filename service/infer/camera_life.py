"""Follows one camera through the states of its life, and says why its newest frame has no score."""

from __future__ import annotations

from model.detect.camera_state import CameraState
from model.detect.observation import Observation, Withheld
from service.capture.camera_capture import CaptureState
from service.infer.reasons import warming_reason
from service.infer.stream_life import Facts, LifeChange, start_life, step
from service.messages import StreamStatus


class CameraLife:
    """The state of a camera. For the worker's thread; `now` may be read by others."""

    def __init__(self, last_status: StreamStatus | None) -> None:
        """Args: last_status: what the last owner reported a moment ago."""
        self.now = start_life(last_status)
        self.obscured = ""
        """Why the newest frame doesn't fit the scene."""
        self.is_reconfigured = False
        """Whether the source was configured differently since it was last connected."""
        self._withheld: Withheld | None = Withheld.FEW_FRAMES
        """Why the newest frame got no score."""

    def observe(self, seen: Observation) -> None:
        """Note what was found in the newest frame."""
        self._withheld, self.obscured = seen.withheld, seen.obscured

    def begin_run(self) -> None:
        """Note that the frames that come next follow no others."""
        self._withheld, self.obscured = Withheld.FEW_FRAMES, ""

    def explain_warming(self, state: CameraState | None) -> str:
        """Return why the newest frame got no score; empty where it got one."""
        if self._withheld is None:
            return ""
        if state is None:
            return "no frame has been seen yet"
        return warming_reason(self._withheld, len(state.frames), state.frames.maxlen or 0)

    def advance(self, facts: Facts, now: float) -> tuple[LifeChange, ...]:
        """Take the life a step further. Returns the changes of state."""
        if facts.source not in (None, CaptureState.CONNECTING):
            self.is_reconfigured = False
        self.now, changes = step(self.now, facts, now)
        return changes
