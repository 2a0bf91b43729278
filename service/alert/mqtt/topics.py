"""Names the topics of one receiver's broker: by ids, as names may have forbidden characters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from service.alert.mqtt.broker_url import BrokerUrl

ONLINE = b"online"
OFFLINE = b"offline"


class TopicKind(StrEnum):
    """What a topic of a stream holds; the value is the topic's end."""

    EVENTS = "events"
    """Each message as it is, not retained; all others are retained."""
    ABNORMAL = "abnormal"
    """ON from an event's start to its end, or OFF."""
    EVENT = "abnormal/attributes"
    """The last event, as JSON."""
    PICTURE = "picture"
    """The last event's picture, a JPEG."""
    WATCHED = "watched"
    """OFF while the stream can't be watched, or ON."""
    OUTAGE = "watched/attributes"
    """The last outage, as JSON."""


EVENT_KINDS = (TopicKind.ABNORMAL, TopicKind.EVENT, TopicKind.PICTURE)
"""What is retained of a stream's events."""
OUTAGE_KINDS = (TopicKind.WATCHED, TopicKind.OUTAGE)
"""What is retained of its outages."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one receiver."""

    receiver_id: str
    prefix: str
    discovery: str | None
    """Home Assistant's discovery prefix; None: no configurations are published."""

    @classmethod
    def make(cls, receiver_id: str, url: BrokerUrl) -> Topics:
        return cls(receiver_id, url.prefix, url.discovery)

    @property
    def status(self) -> str:
        """`online` or `offline`, retained."""
        return f"{self.prefix}/status"

    @property
    def test(self) -> str:
        return f"{self.prefix}/test"

    def name(self, stream_id: str, kind: TopicKind) -> str:
        return f"{self.prefix}/{stream_id}/{kind.value}"

    def name_config(self, stream_id: str) -> str | None:
        """Name the topic where Home Assistant discovers the stream; None: there is none."""
        if self.discovery is None:
            return None
        return f"{self.discovery}/device/normwatch_{self.receiver_id}/{stream_id}/config"

    def list_retained_topics(self, stream_id: str, *, events: bool, outages: bool) -> list[str]:
        """List the retained topics of a stream.

        Args:
            events: the receiver is notified of the stream's events.
            outages: it is notified of the stream's outages.
        """
        kinds = (*(EVENT_KINDS if events else ()), *(OUTAGE_KINDS if outages else ()))
        config = self.name_config(stream_id)
        names = [self.name(stream_id, kind) for kind in kinds]
        return names if config is None else [config, *names]

    def sort_to_clear(self, names: Iterable[str]) -> list[str]:
        """Put configurations first: no entity should be left without its state."""
        return sorted(names, key=lambda name: (not name.endswith("/config"), name))
