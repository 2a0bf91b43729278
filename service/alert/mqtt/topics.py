"""Topics of one webhook's broker. Only ids stand in them: names may hold what topics may not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from service.alert.mqtt.targets import Target

ONLINE = b"online"
OFFLINE = b"offline"
_STREAM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Kind(StrEnum):
    """What a topic of a stream holds; the value is its end."""

    EVENTS = "events"
    """Each message as it is, not retained; all others are retained."""
    ABNORMAL = "abnormal"
    """ON from an event's start to its end, or OFF."""
    EVENT = "abnormal/attributes"
    """The last event, as JSON."""
    SNAPSHOT = "snapshot"
    """The last event's picture, a JPEG."""
    WATCHED = "watched"
    """OFF while it can't be watched, or ON."""
    OUTAGE = "watched/attributes"
    """Why, as JSON."""


SEEN = (Kind.ABNORMAL, Kind.EVENT, Kind.WATCHED, Kind.OUTAGE)
"""Kinds that are read back from the broker; pictures are too large for that."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Their names."""

    webhook_id: str
    prefix: str
    discovery: str | None
    """None: there are no configurations."""

    @classmethod
    def of(cls, webhook_id: str, target: Target) -> Topics:
        """As the webhook's URL has them."""
        return cls(webhook_id, target.prefix, target.discovery)

    @property
    def status(self) -> str:
        """`online` or `offline`, retained."""
        return f"{self.prefix}/status"

    @property
    def test(self) -> str:
        """Where test messages go."""
        return f"{self.prefix}/test"

    def of_stream(self, stream_id: str, kind: Kind) -> str:
        """One of a stream's."""
        return f"{self.prefix}/{stream_id}/{kind.value}"

    def config(self, stream_id: str) -> str | None:
        """The discovery of a stream's device."""
        if self.discovery is None:
            return None
        return f"{self.discovery}/device/{self._node}/{stream_id}/config"

    @property
    def filters(self) -> list[str]:
        """What to subscribe to, to see what the broker holds."""
        kinds = [f"{self.prefix}/+/{kind.value}" for kind in SEEN]
        config = self.config("+")
        return [self.status, *kinds, *([] if config is None else [config])]

    def stream_of(self, topic: str) -> str | None:
        """The stream that a topic of `filters` is about."""
        if self.discovery is not None:
            start, end = f"{self.discovery}/device/{self._node}/", "/config"
            if topic.startswith(start) and topic.endswith(end):
                return _stream_id(topic[len(start) : -len(end)])
        start = f"{self.prefix}/"
        stream_id, _, kind = topic[len(start) :].partition("/")
        return _stream_id(stream_id) if topic.startswith(start) and kind in SEEN else None

    @property
    def _node(self) -> str:
        return f"normwatch_{self.webhook_id}"


def _stream_id(text: str) -> str | None:
    return text if _STREAM_ID.fullmatch(text) else None
