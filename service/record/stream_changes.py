"""Changes a stream's row, and what follows from that: its revision, and its calibration."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.orm import Session

from service.calibrate.stream_thresholds import compute_basis
from service.store.tables import StreamRow


def change_stream(session: Session, row: StreamRow, changes: Mapping[str, object]) -> None:
    """Set columns of a locked row.

    A calibrated threshold is dropped where the scores are others from now on; the revision rises
    where something has changed.
    """
    before = compute_basis(row)
    for name, value in changes.items():
        setattr(row, name, value)
    if compute_basis(row) != before:
        row.calibrated_threshold = None
    if session.is_modified(row):
        row.revision += 1
