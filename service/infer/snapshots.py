"""A camera's state as it is kept in Redis for the next owner: which source and model it belongs to,
and the detector's own bytes.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass

import structlog

from model.detect.camera_state import CameraState
from service.infer.model_pool import LoadedModel
from service.messages import StreamConfig
from service.timers import Timer

log = structlog.stdlib.get_logger(__name__)

_MAGIC = b"NWSN\x01"
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state that one owner leaves to the next."""

    identity: str
    """It stands for source and weights: the state fits no others."""
    state: bytes
    """`CameraState.save`."""
    ended: bool = False
    """A recording was played to its end: the next owner doesn't play it again."""
    fits: bool | None = None
    """Whether the model knows the camera; None: not judged yet."""

    def pack(self) -> bytes:
        """Return the bytes that Redis keeps."""
        head = json.dumps(
            {"identity": self.identity, "ended": self.ended, "fits": self.fits}
        ).encode()
        return _MAGIC + _LENGTH.pack(len(head)) + head + self.state

    @staticmethod
    def unpack(data: bytes) -> Snapshot:
        """Read them back. Raises: ValueError: they are no snapshot."""
        start = len(_MAGIC) + _LENGTH.size
        if len(data) < start or not data.startswith(_MAGIC):
            raise ValueError("not a snapshot")
        (length,) = _LENGTH.unpack_from(data, len(_MAGIC))
        try:
            head = json.loads(data[start : start + length])
            ended, fits = bool(head["ended"]), head["fits"]
            if fits is not None and not isinstance(fits, bool):
                raise ValueError(fits)
            return Snapshot(str(head["identity"]), data[start + length :], ended, fits)
        except (ValueError, KeyError, TypeError):
            raise ValueError("a snapshot's header is damaged") from None


def compute_identity(source: str, weights: str) -> str:
    """Return a name for the pair, from which neither can be read."""
    return hashlib.sha256(f"{source}\0{weights}".encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a camera starts with."""

    state: CameraState
    ended: bool = False
    """A recording was played to its end before."""
    fits: bool | None = None
    """Whether the model was found to know the camera; None: not judged yet."""


class SnapshotKeeper:
    """Keeps one camera's snapshot. For the worker's thread."""

    def __init__(self, inherited: bytes | None, every_s: float) -> None:
        """
        Args:
            inherited: what the last owner left; it is used once.
            every_s: seconds between snapshots.
        """
        self._inherited = inherited
        self._timer = Timer(every_s)
        self._changed = False

    def mark_changed(self) -> None:
        """Note that the state isn't the one of the last snapshot any more."""
        self._changed = True

    def forget_inherited(self) -> None:
        """Restore nothing: what the last owner left is of another source or model."""
        self._inherited = None

    def restore(self, model: LoadedModel, config: StreamConfig) -> Restored:
        """Restore the inherited state where it fits, else start with a new one."""
        data, self._inherited = self._inherited, None
        ended = False
        if data is not None:
            try:
                snapshot = Snapshot.unpack(data)
                if snapshot.identity == compute_identity(config.source, model.weights):
                    ended = snapshot.ended and not config.loop
                    state = model.detector.restore(snapshot.state)
                    # Its frames don't precede the next one.
                    state.cut()
                    return Restored(state, ended, snapshot.fits)
            except ValueError as error:
                log.warning("a snapshot is of no use", stream=config.id, reason=str(error))
        return Restored(model.detector.start(), ended)

    def pack_if_due(
        self,
        state: CameraState,
        model: LoadedModel,
        config: StreamConfig,
        *,
        ended: bool,
        fits: bool | None = None,
        at_once: bool = False,
    ) -> bytes | None:
        """Pack the state if it has changed and the last snapshot is old enough, or `at_once`."""
        if not self._changed or not (at_once or self._timer.is_due):
            return None
        self._timer.restart()
        self._changed = False
        kept = state.without_frames().save()
        identity = compute_identity(config.source, model.weights)
        return Snapshot(identity, kept, ended, fits).pack()
