"""Writes the entries of one camera's log."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from service.infer.camera_outbox import CameraOutbox
from service.infer.stream_life import CameraLife
from service.messages import NoteKind, StreamNote

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CameraNotes:
    """Adds entries for the stream's log to the outbox. For the worker's thread."""

    worker_id: str
    outbox: CameraOutbox
    life: CameraLife

    def add(self, kind: NoteKind, at: float, reason: str) -> None:
        """Add an entry, with the stream's state and owner of now."""
        self.outbox.add_note(
            StreamNote(
                kind=kind,
                at=at,
                state=self.life.now.state,
                reason=reason,
                worker=self.worker_id,
                epoch=self.outbox.epoch,
            )
        )

    def add_model_change(self, at: float, reason: str) -> None:
        """Add an entry about the model, and log it here, too."""
        log.info("a stream's model", stream=self.outbox.stream_id, reason=reason)
        self.add(NoteKind.MODEL_CHANGED, at, reason)
