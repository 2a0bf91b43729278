"""What to publish, stream by stream, so that a broker holds what it should."""

from __future__ import annotations

from collections.abc import Iterator, Set

from service.alert.mqtt import states
from service.alert.mqtt.discovery import config
from service.alert.mqtt.session import Publication
from service.alert.mqtt.topics import Kind, Topics
from service.alert.mqtt.view import View
from service.alert.mqtt.wanted import StreamState, Wanted
from service.alert.outbox import iso8601


class Tidier:
    """Of one connection. What other webhooks and programs publish is left alone: a configuration is
    ours by its topic, and state by the `webhook_id` in its attributes, or because we told it."""

    def __init__(self, topics: Topics, view: View, told: Set[str]) -> None:
        """
        Args:
            told: streams that this front end told the broker of, also over other connections.
        """
        self._topics = topics
        self._view = view
        self._told = told
        self._published: dict[str, bytes] = {}
        self._suspects: set[str] = set()

    def differences(self, wanted: Wanted) -> Iterator[list[Publication]]:
        """For each stream that differs. Raises: what `wanted.last_event` does."""
        for stream_id in self._view.streams() - wanted.streams.keys():
            cleared = self._clearing(stream_id, config=True, events=True, outages=True)
            if cleared:
                yield cleared
        before, self._suspects = self._suspects, set()
        for stream_id, stream in wanted.streams.items():
            found = [
                *self._events(stream_id, stream, wanted, before),
                *self._outages(stream_id, stream, wanted, before),
                *self._config(stream_id, stream),
            ]
            if found:
                yield found

    def everything(self) -> list[Publication]:
        """What clears all that is ours, and the status; of what we told also what isn't seen: other
        front ends tell and clear it at the same time."""
        cleared = [Publication(self._topics.status, b"")]
        for stream_id in self._view.streams() | self._told:
            told = stream_id in self._told
            cleared += self._clearing(
                stream_id, config=True, events=True, outages=True, unseen=told
            )
        return cleared

    def _events(
        self, stream_id: str, stream: StreamState, wanted: Wanted, before: set[str]
    ) -> list[Publication]:
        if not stream.events:
            return self._clearing(stream_id, events=True)
        topic = self._topics.of_stream(stream_id, Kind.ABNORMAL)
        attributes = self._topics.of_stream(stream_id, Kind.EVENT)
        if not self._is_wrong(topic, attributes, stream, before, is_on=stream.abnormal):
            return []
        row = wanted.last_event(stream_id)
        return states.event_state(
            self._topics,
            stream_id,
            states.event_attributes(self._topics, row, iso8601(wanted.at)),
            None if row is None else row.snapshot,
            abnormal=stream.abnormal,
        )

    def _outages(
        self, stream_id: str, stream: StreamState, wanted: Wanted, before: set[str]
    ) -> list[Publication]:
        if not stream.outages:
            return self._clearing(stream_id, outages=True)
        topic = self._topics.of_stream(stream_id, Kind.WATCHED)
        attributes = self._topics.of_stream(stream_id, Kind.OUTAGE)
        watched = stream.outage is None
        if not self._is_wrong(topic, attributes, stream, before, is_on=watched):
            return []
        told = states.outage_attributes(self._topics, stream.outage or {}, iso8601(wanted.at))
        return states.watch_state(self._topics, stream_id, told, watched=watched)

    def _is_wrong(
        self, topic: str, attributes: str, stream: StreamState, before: set[str], *, is_on: bool
    ) -> bool:
        """Missing, or other than the database has it, twice in a row and with no message that waits
        to change it: a replay of old messages does that, and a message that was given up."""
        held = self._view.holds(topic)
        if held is None or self._view.holds(attributes) is None:
            return True
        if not stream.settled or held == (b"ON" if is_on else b"OFF"):
            return False
        self._suspects.add(topic)
        return topic in before

    def _config(self, stream_id: str, stream: StreamState) -> list[Publication]:
        """Where it is another one it is published once: a front end of another version may want it
        to be different, too."""
        topic = self._topics.config(stream_id)
        if topic is None:
            return []
        payload = config(
            self._topics, stream_id, stream.name, events=stream.events, outages=stream.outages
        )
        held = self._view.holds(topic)
        if held == payload or (held is not None and self._published.get(topic) == payload):
            return []
        self._published[topic] = payload
        return [Publication(topic, payload)]

    def _clearing(
        self,
        stream_id: str,
        *,
        config: bool = False,
        events: bool = False,
        outages: bool = False,
        unseen: bool = False,
    ) -> list[Publication]:
        """What clears these of the stream, where they are there, or may be, and ours."""
        topics: list[str] = []
        # The entities go first: none must show that its state has gone.
        name = self._topics.config(stream_id) if config else None
        if name is not None and (unseen or self._view.holds(name) is not None):
            topics.append(name)
        # The picture last: it is seen by what stands beside it.
        for chosen, kinds in (
            (events, (Kind.ABNORMAL, Kind.EVENT, Kind.SNAPSHOT)),
            (outages, (Kind.WATCHED, Kind.OUTAGE)),
        ):
            names = [self._topics.of_stream(stream_id, kind) for kind in kinds]
            is_seen = any(self._view.holds(name) is not None for name in names)
            if chosen and (is_seen or unseen) and self._is_ours(stream_id, names):
                topics += names
        return [Publication(topic, b"") for topic in topics]

    def _is_ours(self, stream_id: str, names: list[str]) -> bool:
        attributes = self._view.holds(names[1])
        if attributes is None:
            return stream_id in self._told
        return states.owner(attributes) == self._topics.webhook_id
