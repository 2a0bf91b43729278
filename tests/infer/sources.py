"""Sources of frames that tests give to a worker."""

from __future__ import annotations

from service.infer.capture_source import RingSource


class EndlessRingSource(RingSource):
    """Frames of a ring that the test fills; there is nothing to stop or to close."""

    def stop(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
