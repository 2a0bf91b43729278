"""The settings that a stream's scores depend on: when one changes, calibration starts again."""

from __future__ import annotations

import hashlib
import json

from service.store.tables import StreamRow

FIELDS = ("source", "model", "gamma", "memory_rule", "appearance_weight", "zones", "fps", "decode")


def compute_basis(stream: StreamRow) -> str:
    """Return a hash that is the same for configurations that score alike. It hides the source."""
    values = [getattr(stream, name) for name in FIELDS]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
