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
        self._heard = 0
        self._held: dict[str, tuple[int, bytes]] = {}
        """With the number of what was heard last of the topic; an empty payload is none."""
        self._made_at = self._heard_at = time.monotonic()

    def hear(self, topic: str, payload: bytes) -> None:
        """The broker says that it holds this now."""
        with self._lock:
            self._heard_at = time.monotonic()
            self._heard += 1
            self._put(topic, payload)

    def mark(self) -> int:
        """For `suppose`: how much has been heard by now."""
        with self._lock:
            return self._heard

    def suppose(self, topic: str, payload: bytes, mark: int) -> None:
        """The broker has taken this from us since the mark. What it said itself since then counts
        for more; but some never say anything."""
        with self._lock:
            number, _ = self._held.get(topic, (0, b""))
            if number <= mark:
                self._put(topic, payload)

    def holds(self, topic: str) -> bytes | None:
        """What is there; None: nothing."""
        with self._lock:
            _, payload = self._held.get(topic, (0, b""))
            return payload or None

    def streams(self) -> set[str]:
        """Those that something is held of."""
        with self._lock:
            topics = [topic for topic, (_, payload) in self._held.items() if payload]
        found = {self._topics.stream_of(topic) for topic in topics}
        return {stream_id for stream_id in found if stream_id is not None}

    @property
    def is_online(self) -> bool:
        """False where somebody said that we are gone."""
        with self._lock:
            _, payload = self._held.get(self._topics.status, (0, ONLINE))
            return payload == ONLINE

    @property
    def is_settled(self) -> bool:
        """Whether the broker seems to have told all that it holds: nothing says when it has."""
        with self._lock:
            now = time.monotonic()
            return now - self._heard_at >= QUIET_S or now - self._made_at >= LONGEST_S

    def _put(self, topic: str, payload: bytes) -> None:
        known = topic in self._held or topic == self._topics.status
        if known or (len(self._held) < MAX_TOPICS and self._topics.stream_of(topic) is not None):
            self._held[topic] = self._heard, payload[:MAX_BYTES]
