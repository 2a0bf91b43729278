"""What of a stream's configuration its scores depend on: another one, and thresholds start anew."""

from __future__ import annotations

import hashlib
import json

from service.store.tables import StreamRow

FIELDS = (
    "source",
    "model",
    "gamma",
    "memory_rule",
    "appearance_weight",
    "zones",
    "fps",
    "decode",
)


def basis(stream: StreamRow) -> str:
    """The same for configurations that score alike. It tells nothing of the source."""
    values = [getattr(stream, name) for name in FIELDS]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
