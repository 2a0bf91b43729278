"""What a broker holds of a webhook's topics, as far as it has told us."""

from __future__ import annotations

import threading
import time

from service.alert.mqtt.topics import ONLINE, Topics

MAX_TOPICS = 50_000
MAX_BYTES = 8192
"""Of a payload; the rest isn't kept."""
QUIET_S = 0.3
LONGEST_S = 10.0


class View:
    """Retained payloads by topic. Any thread may use it."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._lock = threading.Lock()
        self._held: dict[str, bytes] = {}
        self._made_at = self._heard_at = time.monotonic()
        self._is_online = True

    def take(self, topic: str, payload: bytes) -> None:
        """The broker holds this now; an empty payload is none."""
        with self._lock:
            self._heard_at = time.monotonic()
            if topic == self._topics.status:
                self._is_online = payload == ONLINE
            elif not payload:
                self._held.pop(topic, None)
            elif topic in self._held or (
                len(self._held) < MAX_TOPICS and self._topics.stream_of(topic) is not None
            ):
                self._held[topic] = payload[:MAX_BYTES]

    def holds(self, topic: str) -> bytes | None:
        """What is there; None: nothing."""
        with self._lock:
            return self._held.get(topic)

    def streams(self) -> set[str]:
        """Those that something is held of."""
        with self._lock:
            found = {self._topics.stream_of(topic) for topic in self._held}
        return {stream_id for stream_id in found if stream_id is not None}

    @property
    def is_online(self) -> bool:
        """False where somebody said that we are gone."""
        with self._lock:
            return self._is_online

    @property
    def is_settled(self) -> bool:
        """Whether the broker seems to have told all that it holds: nothing says when it has."""
        with self._lock:
            now = time.monotonic()
            return now - self._heard_at >= QUIET_S or now - self._made_at >= LONGEST_S
