"""The lasting connection of one receiver: it is made again whenever it is lost.

At each connection the link publishes what the database says of the streams; after that it publishes
what changes. Nothing is read back from the broker: a link clears only what it published itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum

import structlog

from service.alert.attempts import Undelivered
from service.alert.mqtt.broker_session import (
    IN_FLIGHT,
    BrokerSession,
    ConnectOptions,
    LoginRefused,
    Publication,
)
from service.alert.mqtt.broker_url import BrokerUrl
from service.alert.mqtt.publications import (
    publish_config,
    publish_stored_event,
    publish_stored_outage,
)
from service.alert.mqtt.stream_states import BrokerContent
from service.alert.mqtt.topics import OFFLINE, ONLINE, TopicKind, Topics
from service.rounds import AWAY
from service.timers import Deadline, compute_backoff_s, spread

log = structlog.stdlib.get_logger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
REFUSED_PAUSE_S = 60.0
"""The longest pause after a wrong password."""
FORBIDDEN_PAUSE_S = 30.0
"""How long until topics that the broker refused are tried again."""
STEADY_S = 10.0
"""After a connection that lasted this long, the next one is tried at once."""
WAKE_S = 0.2
FAREWELL_S = 60.0
"""How long the link of a deleted receiver tries to reach its broker, to clear its topics."""


class LinkEnd(StrEnum):
    """What a link does at its end."""

    OFFLINE = "offline"
    """It publishes `offline`, and leaves all else: the front end stops, or another link goes on."""
    CLEARED = "cleared"
    """It clears all topics: the receiver is gone."""


class BrokerLink:
    """Connects in a thread of its own, from its making to its end."""

    def __init__(
        self,
        topics: Topics,
        url: BrokerUrl,
        options: ConnectOptions,
        timeout_s: float,
        retained: frozenset[str] = frozenset(),
    ) -> None:
        """
        Args:
            retained: topics that an earlier link of the receiver published there.
        """
        self.url = url
        self._topics = topics
        self._options = options
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._session: BrokerSession | None = None
        """None until the stored state is published: messages come after it."""
        self._content: BrokerContent | None = None
        self._retained = set(retained)
        """Topics that may hold something of ours, also from earlier connections."""
        self._published: dict[str, int] = {}
        """Hashes of what was published in this connection, by topic."""
        self._is_contradicted = False
        """Another front end has published that normwatch is offline."""
        self._ending: LinkEnd | None = None
        self._end_by = Deadline(float("inf"))
        self._attempts = 0
        self._hurry = False
        self._trouble: str | None = None
        self._complaint = ""
        self._thread = threading.Thread(target=self._run, name="mqtt link", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def retained(self) -> frozenset[str]:
        """Topics that may hold something of ours."""
        with self._changed:
            return frozenset(self._retained)

    def update(self, content: BrokerContent) -> None:
        """Let the broker hold this from now on."""
        with self._changed:
            self._content = content
            self._changed.notify_all()

    def publish(self, publications: Sequence[Publication], deadline: Deadline) -> None:
        """Publish in this order. If there is no connection, one is tried at once.

        Raises: Undelivered: the broker has not acknowledged all of it, and why.
        """
        self._publish(self._wait_for_session(deadline), publications, deadline)

    def end(self, how: LinkEnd) -> None:
        """Begin to end it; only the first call counts."""
        with self._changed:
            if self._ending is None:
                self._ending = how
                self._end_by = Deadline(FAREWELL_S)
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _wait_for_session(self, deadline: Deadline) -> BrokerSession:
        with self._changed:
            before = self._attempts
            self._hurry = True
            self._changed.notify_all()
            while self._session is None or not self._session.is_up:
                if self._ending is not None:
                    raise Undelivered("the receiver was changed or switched off meanwhile")
                if self._attempts > before:
                    raise Undelivered(self._trouble or "the connection to the broker is gone")
                if deadline.is_over:
                    raise Undelivered("the broker didn't answer in time")
                self._changed.wait(deadline.left_s)
            return self._session

    def _run(self) -> None:
        failures = 0
        while not self._is_over():
            steady, longest_s = Deadline(STEADY_S), LONGEST_PAUSE_S
            try:
                self._connect_and_serve()
                if steady.is_over:
                    failures = 0
                    continue
            except Undelivered as error:
                self._note_trouble(str(error))
                longest_s = REFUSED_PAUSE_S if isinstance(error, LoginRefused) else longest_s
            except Exception:
                log.exception("a connection to a broker failed", receiver=self._topics.receiver_id)
                self._note_trouble("something went wrong here")
            # A broker may accept the connection, too, and close it soon.
            failures += 1
            self._pause(compute_backoff_s(failures, first_s=FIRST_PAUSE_S, longest_s=longest_s))

    def _is_over(self) -> bool:
        """Return whether there is nothing left to connect for."""
        with self._changed:
            if self._ending is LinkEnd.CLEARED:
                return self._end_by.is_over
            return self._ending is not None

    def _pause(self, pause_s: float) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._hurry or self._ending is not None, spread(pause_s, 0.8, 1.0)
            )
            if self._ending is LinkEnd.CLEARED:
                self._changed.wait(FIRST_PAUSE_S)

    def _connect_and_serve(self) -> None:
        """Serve one connection. Raises: Undelivered: there is none."""
        self._hurry = False
        status = self._topics.status
        session = BrokerSession(
            self.url,
            self._options,
            self._choose_deadline(),
            will=Publication(status, OFFLINE),
            on_message=self._handle_status,
            on_lost=self._notify,
        )
        with self._changed:
            self._published.clear()
            self._is_contradicted = False
        try:
            self._publish(session, [Publication(status, ONLINE)], self._choose_deadline())
            self._subscribe(session)
            log.info("connected to a broker", receiver=self._topics.receiver_id)
            self._serve(session)
        finally:
            with self._changed:
                self._session = None
                is_ending = self._ending is not None
            session.close(orderly=is_ending)
        if not is_ending:
            self._note_trouble(session.trouble)

    def _subscribe(self, session: BrokerSession) -> None:
        try:
            session.subscribe(self._topics.status, self._choose_deadline())
        except Undelivered as error:
            if not session.is_up:
                raise
            # Only another front end's `offline` goes uncorrected then.
            self._complain(str(error))

    def _serve(self, session: BrokerSession) -> None:
        """Publish what changes until the connection is lost, or to end."""
        connected_at = time.monotonic()
        done: BrokerContent | None = None
        not_before = Deadline(0.0)
        while session.is_up:
            with self._changed:
                self._changed.wait(WAKE_S)
                ending, content = self._ending, self._content
            if ending is not None:
                self._take_leave(session, ending)
                return
            if not not_before.is_over:
                continue
            try:
                if self._is_contradicted:
                    self._is_contradicted = False
                    online = [Publication(self._topics.status, ONLINE)]
                    self._publish(session, online, self._choose_deadline())
                # What was read before the connection may be older than what was published last.
                if content is not None and content is not done and content.read_at > connected_at:
                    done = content
                    self._publish_content(session, content)
            except Undelivered as error:
                if session.is_up:
                    self._complain(str(error))
                not_before = Deadline(FORBIDDEN_PAUSE_S)
            if done is not None:
                self._accept_messages(session)

    def _accept_messages(self, session: BrokerSession) -> None:
        with self._changed:
            if self._session is None:
                self._session, self._trouble = session, None
                self._changed.notify_all()

    def _publish_content(self, session: BrokerSession, content: BrokerContent) -> None:
        """Publish what differs. Raises: Undelivered: some was refused; all else is published."""
        refused: Undelivered | None = None
        try:
            for publications in self._find_differences(content):
                if self._ending is not None or not session.is_up:
                    return
                try:
                    self._publish(session, publications, self._choose_deadline())
                except Undelivered as error:
                    refused = error
        except AWAY as error:
            log.warning("a stream's last event can't be read now", error=type(error).__name__)
        if refused is not None:
            raise refused

    def _find_differences(self, content: BrokerContent) -> Iterator[list[Publication]]:
        """Find what to publish, stream by stream. Raises: what `content.read_event` does."""
        topics = self._topics
        expected = {topics.status}
        for stream_id, stream in content.streams.items():
            expected.update(
                topics.list_retained_topics(stream_id, events=stream.events, outages=stream.outages)
            )
        yield from self._clear(self.retained - expected)
        for stream_id, stream in content.streams.items():
            found: list[Publication] = []
            if stream.events and not self._has_state(stream_id, TopicKind.ABNORMAL):
                event = content.read_event(stream_id)
                found += publish_stored_event(topics, stream_id, stream, event, content.at)
            if stream.outages and not self._has_state(stream_id, TopicKind.WATCHED):
                found += publish_stored_outage(topics, stream_id, stream, content.at)
            for config in publish_config(topics, stream_id, stream):
                if self._published.get(config.topic) != hash(config.payload):
                    found.append(config)
            if found:
                yield found

    def _has_state(self, stream_id: str, kind: TopicKind) -> bool:
        return self._topics.name(stream_id, kind) in self._published

    def _clear(self, names: frozenset[str]) -> Iterator[list[Publication]]:
        cleared = [Publication(name, b"") for name in self._topics.sort_to_clear(names)]
        for first in range(0, len(cleared), IN_FLIGHT):
            yield cleared[first : first + IN_FLIGHT]

    def _publish(
        self, session: BrokerSession, publications: Sequence[Publication], deadline: Deadline
    ) -> None:
        accepted = [each for each in publications if session.accepts(each.payload)]
        retained = [each for each in accepted if each.retain]
        with self._changed:
            # Before it is sent: it may arrive without being acknowledged.
            self._retained.update(each.topic for each in retained)
        session.publish(accepted, deadline)
        with self._changed:
            for each in retained:
                if each.payload:
                    self._published[each.topic] = hash(each.payload)
                else:
                    self._published.pop(each.topic, None)
                    self._retained.discard(each.topic)

    def _take_leave(self, session: BrokerSession, ending: LinkEnd) -> None:
        status = self._topics.status
        try:
            # A message that came while the connection is closed would reset it, and the broker
            # would publish the last will.
            session.unsubscribe(status, self._choose_deadline())
            last = [Publication(status, OFFLINE)]
            if ending is LinkEnd.CLEARED:
                names = self.retained - {status}
                last = [Publication(status, b""), *(p for part in self._clear(names) for p in part)]
            session.publish(last, self._choose_deadline(), last=True)
        except Undelivered as error:
            if not session.is_up:
                return
            self._complain(str(error))
        self._end_by = Deadline(0.0)

    def _handle_status(self, topic: str, payload: bytes) -> None:
        if payload != ONLINE:
            self._is_contradicted = True
            self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _note_trouble(self, trouble: str) -> None:
        """Log it once for an outage, even if the connection is tried many times."""
        with self._changed:
            first = self._trouble is None
            self._trouble = trouble
            self._attempts += 1
            self._changed.notify_all()
        if first:
            log.warning(
                "no connection to a broker", receiver=self._topics.receiver_id, error=trouble
            )

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            self._complaint = text
            log.warning("a broker refused", receiver=self._topics.receiver_id, error=text)

    def _choose_deadline(self) -> Deadline:
        return Deadline(self._timeout_s)
