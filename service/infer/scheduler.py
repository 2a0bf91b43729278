"""Decides which cameras are in the next batch, and how large it is: weighted fair queueing, without
clock or I/O.

docs/design.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from model.scene.stillness import REFRESH_S

MAX_BATCH = 16
BATCH_S = 0.1
"""A batch takes about so long at most: the next frame waits for it."""
SMOOTHING = 0.25
LONGEST_REFRESH_S = 5.0
SLOWER = 1.25
"""In a step, refreshes become so many times as rare, or as frequent."""
SLOW_DOWN_S, SPEED_UP_S = 0.5, 5.0
"""Seconds from a step to the next."""


@dataclass(frozen=True, slots=True)
class ReadyCamera:
    """A camera that has something to score."""

    group: str
    """Its model: a batch is of one group."""
    weight: float = 1.0
    """Above 0."""
    waiting: int = 1
    """Frames that it could have scored now, at least 1."""


class FairTurns:
    """Start-time fair queueing (Goyal, Vin and Cheng, 1996), a frame costing its camera 1/weight.

    Each camera has a tag, the virtual time of its next turn; the least tag goes first, and the
    virtual time is that of the turn being served. While two cameras have frames all the time, they
    get them in proportion to their weights; what one leaves goes to the others.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._tags: dict[str, float] = {}
        self._served: dict[str, int] = {}
        """When a camera was served last, for order among equal tags."""
        self._serial = 0

    def next_batch(
        self, ready: Mapping[str, ReadyCamera], limit: Callable[[str], int]
    ) -> list[str]:
        """Choose the cameras whose turn it is, each once, all of one group.

        Args:
            limit: the most cameras in a batch of a group, at least 1.
        """
        tags = {camera: self._compute_tag(camera, each.weight) for camera, each in ready.items()}
        order = sorted(ready, key=lambda camera: (tags[camera], self._served.get(camera, 0)))
        if not order:
            return []
        group = ready[order[0]].group
        batch: list[str] = []
        earliest_again = float("inf")
        for camera in order:
            # A batch holds a camera once: one whose second frame is due before others goes alone.
            if len(batch) == limit(group) or tags[camera] > earliest_again:
                break
            if ready[camera].group != group:
                continue
            batch.append(camera)
            self._serve(camera, tags[camera] + 1.0 / ready[camera].weight)
            if ready[camera].waiting > 1:
                earliest_again = min(earliest_again, self._tags[camera])
        self._now = max(self._now, tags[order[0]])
        return batch

    def forget(self, camera: str) -> None:
        self._tags.pop(camera, None)
        self._served.pop(camera, None)

    def _compute_tag(self, camera: str, weight: float) -> float:
        """Compute the tag of a camera's next turn. A camera that had nothing to score saves up one
        turn, and no more."""
        if camera not in self._tags:
            return self._now
        return max(self._tags[camera], self._now - 1.0 / weight)

    def _serve(self, camera: str, next_tag: float) -> None:
        self._serial += 1
        self._served[camera] = self._serial
        self._tags[camera] = next_tag


class BatchSizes:
    """Estimates how many frames make a batch of about BATCH_S: many on a GPU, few on a CPU."""

    def __init__(self) -> None:
        self._frame_s: dict[str, float] = {}

    def limit(self, group: str) -> int:
        """Return the most frames in a batch; 1 until something is known."""
        frame_s = self._frame_s.get(group)
        if frame_s is None:
            return 1
        return max(1, min(MAX_BATCH, int(BATCH_S / max(frame_s, 1e-6))))

    def expected_s(self, group: str) -> float:
        """Return about how long a batch takes."""
        return self._frame_s.get(group, 0.0) * self.limit(group)

    def learn(self, group: str, frames: float, seconds: float) -> None:
        """Note how long a batch took. Only frames that the network ran for count; a part of a frame
        counts as its share."""
        if frames:
            known = self._frame_s.get(group, seconds / frames)
            self._frame_s[group] = known + SMOOTHING * (seconds / frames - known)

    def keep_only(self, groups: Collection[str]) -> None:
        """Forget the groups that no camera belongs to."""
        for group in self._frame_s.keys() - set(groups):
            del self._frame_s[group]


class Refreshes:
    """Decides how often the network runs for a camera on which nothing moves: once in `REFRESH_S`,
    or less often while there is no time for cameras on which something does.
    """

    def __init__(self) -> None:
        self.every_s = REFRESH_S
        self._unscored = 0
        self._changed_s = float("-inf")

    def observe(self, unscored: int, now_s: float) -> None:
        """Follow the load. Args: unscored: frames so far that there was no time to score."""
        more, self._unscored = unscored > self._unscored, unscored
        if now_s - self._changed_s < (SLOW_DOWN_S if more else SPEED_UP_S):
            return
        self._changed_s = now_s
        every_s = self.every_s * SLOWER if more else self.every_s / SLOWER
        self.every_s = min(max(every_s, REFRESH_S), LONGEST_REFRESH_S)
