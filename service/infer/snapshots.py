"""A camera's state as it is kept in Redis for the next owner: which source and model it belongs to,
and the detector's own bytes.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass

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

    def pack(self) -> bytes:
        """Return the bytes that Redis keeps."""
        head = json.dumps({"identity": self.identity, "ended": self.ended}).encode()
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
            return Snapshot(str(head["identity"]), data[start + length :], bool(head["ended"]))
        except (ValueError, KeyError, TypeError):
            raise ValueError("a snapshot's header is damaged") from None


def compute_identity(source: str, weights: str) -> str:
    """Return a name for the pair, from which neither can be read."""
    return hashlib.sha256(f"{source}\0{weights}".encode()).hexdigest()[:24]
