"""A change of a camera's model: the one in use goes on until the next is loaded."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from model.detect.camera_state import CameraState
from model.frames import Frame
from model.scene.features import Features, extract
from service.infer.model_pool import LoadedModel
from service.messages import UPLOAD, StreamConfig


@dataclass(frozen=True, slots=True)
class OwnSettings:
    """The settings of a stream that mean something for one model only."""

    gamma: float | None
    appearance_weight: float | None
    threshold: float | None

    @staticmethod
    def of_config(config: StreamConfig) -> OwnSettings:
        return OwnSettings(config.gamma, config.appearance_weight, config.threshold)

    def apply(self, config: StreamConfig) -> StreamConfig:
        """Return the configuration with these settings instead of its own."""
        return config.model_copy(
            update={
                "gamma": self.gamma,
                "appearance_weight": self.appearance_weight,
                "threshold": self.threshold,
            }
        )


class ModelSwap:
    """A change of model under way. For the worker's thread."""

    def __init__(self, name: str, own: OwnSettings, state: CameraState | None) -> None:
        """
        Args:
            name: the next model.
            own: what was configured for the model in use, which keeps it.
            state: the state of the model in use; None: it has seen nothing yet.
        """
        self.name = name
        self.own = own
        self.problem = ""
        """Why the next model can't be loaded. It is tried again."""
        self._window: deque[tuple[Frame, Features]] = deque(
            maxlen=0 if state is None else state.frames.maxlen
        )
        """The last frames. Those from before the change are in the light that the old model knows;
        each one that comes replaces one of them."""
        for frame in () if state is None else state.frames:
            self._window.append((frame, extract(frame)))

    def add_frame(self, pixels: Frame, features: Features) -> None:
        """Note a frame that was appended to the old model's state."""
        self._window.append((pixels, features))

    def fill_window(self, state: CameraState, old: CameraState) -> None:
        """Append to a new model's state the frames that the next one follows: those that the old
        one's state has. Where a cut came, it has fewer."""
        window = list(self._window)
        for pixels, features in window[len(window) - len(old.frames) :]:
            state.append_unscored(pixels, features)

    def describe(self, in_use: str) -> str:
        """Return why another model than the configured one is in use."""
        if self.problem:
            return f"{self.problem}; {in_use!r} goes on"
        return f"model {self.name!r} is loading; {in_use!r} goes on meanwhile"


def find_target_fps(config: StreamConfig, model: LoadedModel) -> float | None:
    """Return the frames a second to score by a model; None: as many as come, as of uploads."""
    if config.source == UPLOAD:
        return None
    return config.fps or model.detector.bundle.provenance.frame_rate


def find_difference(config: StreamConfig, before: LoadedModel, model: LoadedModel) -> str:
    """Return why an open source can't go on with another model; empty where it can."""
    if before.detector.bundle.frame_shape != model.detector.bundle.frame_shape:
        return "it takes frames of another shape"
    if find_target_fps(config, before) != find_target_fps(config, model):
        return "it takes another frame rate"
    return ""
