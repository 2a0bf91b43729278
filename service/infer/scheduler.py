"""Who comes into the next batch: cameras take turns, and a batch holds cameras of one model."""

from __future__ import annotations

from collections.abc import Mapping

MAX_BATCH = 16


class RoundRobin:
    """Turns of cameras; whoever waited longest goes first."""

    def __init__(self, max_batch: int = MAX_BATCH) -> None:
        self._max_batch = max_batch
        self._order: dict[str, None] = {}

    def next_batch(self, ready: Mapping[str, str]) -> list[str]:
        """Ids of the cameras whose turn it is, each once, all of one group.

        Args:
            ready: the cameras that have a frame, each with its group (its model).
        """
        for camera in ready:
            self._order.setdefault(camera)
        batch: list[str] = []
        for camera in self._order:
            if camera in ready and (not batch or ready[camera] == ready[batch[0]]):
                batch.append(camera)
                if len(batch) == self._max_batch:
                    break
        for camera in batch:  # to the end of the queue
            del self._order[camera]
            self._order[camera] = None
        return batch

    def forget(self, camera: str) -> None:
        """The camera is gone."""
        self._order.pop(camera, None)
