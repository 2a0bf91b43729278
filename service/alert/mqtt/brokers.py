"""All connections to brokers of one front end: one for each receiver."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import structlog

from service.alert.attempts import Receiver, Undelivered
from service.alert.mqtt.broker_link import BrokerLink, LinkEnd
from service.alert.mqtt.broker_session import ConnectOptions
from service.alert.mqtt.broker_url import parse_broker_url
from service.alert.mqtt.stream_states import BrokerContent
from service.alert.mqtt.topics import Topics
from service.errors import BadInput
from service.timers import Deadline

log = structlog.stdlib.get_logger(__name__)

CLOSE_S = 3.0
"""How long all of them together get to publish `offline`."""


class Brokers:
    """Makes and ends links. Any thread may use it."""

    def __init__(self, options: ConnectOptions, timeout_s: float) -> None:
        self.options = options
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._links: dict[str, tuple[str, BrokerLink]] = {}
        """By receiver, with its URL."""
        self._ending: list[BrokerLink] = []
        self._closed = False

    def open(self, receiver: Receiver) -> BrokerLink:
        """Return the receiver's link, which is made if there is none.

        Raises: Undelivered: there is one for another URL. BadInput: the URL isn't a broker's.
        """
        with self._lock:
            if self._closed:
                raise Undelivered("the front end stops")
            url, link = self._links.get(receiver.id) or self._make(receiver)
            if url != receiver.url:
                raise Undelivered("the receiver was changed meanwhile")
            return link

    def find(self, receiver: Receiver) -> BrokerLink | None:
        """Return the receiver's link; None: there is none for this URL."""
        with self._lock:
            url, link = self._links.get(receiver.id, ("", None))
            return link if url == receiver.url else None

    def update(self, receivers: Sequence[Receiver], contents: Mapping[str, BrokerContent]) -> None:
        """End the links of all other receivers, make new ones, and hand each its content."""
        with self._lock:
            if self._closed:
                return
            self._ending = [link for link in self._ending if link.is_alive]
            for receiver_id in self._links.keys() - {receiver.id for receiver in receivers}:
                self._end(receiver_id, LinkEnd.CLEARED)
            for receiver in receivers:
                try:
                    link = self._renew(receiver)
                except BadInput as error:
                    log.error(
                        "a broker's URL can't be read", receiver=receiver.id, error=str(error)
                    )
                    continue
                link.update(contents[receiver.id])

    def close(self) -> None:
        """End all links; what the brokers hold stays."""
        with self._lock:
            self._closed = True
            for receiver_id in list(self._links):
                self._end(receiver_id, LinkEnd.OFFLINE)
            links = self._ending
        deadline = Deadline(CLOSE_S)
        for link in links:
            link.join(deadline.left_s)

    def _renew(self, receiver: Receiver) -> BrokerLink:
        """Return the receiver's link, which is made again if its URL has changed."""
        retained: frozenset[str] = frozenset()
        if receiver.id in self._links:
            url, link = self._links[receiver.id]
            if url == receiver.url:
                return link
            # Another password leaves the topics where they are.
            if parse_broker_url(receiver.url).place == link.url.place:
                retained = link.retained
                self._end(receiver.id, LinkEnd.OFFLINE)
            else:
                self._end(receiver.id, LinkEnd.CLEARED)
        return self._make(receiver, retained)[1]

    def _make(
        self, receiver: Receiver, retained: frozenset[str] = frozenset()
    ) -> tuple[str, BrokerLink]:
        url = parse_broker_url(receiver.url)
        topics = Topics.make(receiver.id, url)
        link = BrokerLink(topics, url, self.options, self._timeout_s, retained)
        self._links[receiver.id] = receiver.url, link
        return receiver.url, link

    def _end(self, receiver_id: str, how: LinkEnd) -> None:
        _, link = self._links.pop(receiver_id)
        link.end(how)
        self._ending.append(link)
