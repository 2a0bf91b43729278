"""All connections to brokers of one front end: one for each webhook."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import structlog

from service.alert.attempts import Receiver, Undelivered
from service.alert.mqtt.link import Ending, Link
from service.alert.mqtt.session import Dialling
from service.alert.mqtt.targets import parse
from service.alert.mqtt.topics import Topics
from service.alert.mqtt.wanted import Wanted
from service.errors import BadInput

log = structlog.stdlib.get_logger(__name__)

CLOSE_S = 3.0
"""For all of them together to say goodbye."""


class Links:
    """Makes and ends them. Any thread may use it."""

    def __init__(self, dialling: Dialling, timeout_s: float) -> None:
        self.dialling = dialling
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._links: dict[str, tuple[str, Link]] = {}
        """By webhook, with its URL."""
        self._leaving: list[Link] = []
        self._closed = False

    def open(self, receiver: Receiver) -> Link:
        """The webhook's; made where it isn't there yet.

        Raises: Undelivered: there is one for another URL. BadInput: the URL isn't a broker's.
        """
        with self._lock:
            if self._closed:
                raise Undelivered("the front end stops")
            url, link = self._links.get(receiver.id) or self._make(receiver)
            if url != receiver.url:
                raise Undelivered("the webhook was changed meanwhile")
            return link

    def find(self, receiver: Receiver) -> Link | None:
        """The webhook's; None where there is none for this URL."""
        with self._lock:
            url, link = self._links.get(receiver.id, ("", None))
            return link if url == receiver.url else None

    def follow(self, receivers: Sequence[Receiver], wanted: Mapping[str, Wanted]) -> None:
        """End all others, make what is new, and tell each what its broker should hold."""
        with self._lock:
            if self._closed:
                return
            self._leaving = [link for link in self._leaving if link.is_alive]
            for webhook_id in self._links.keys() - {receiver.id for receiver in receivers}:
                self._end(webhook_id, Ending.CLEARED)
            for receiver in receivers:
                try:
                    link = self._current(receiver)
                except BadInput as error:
                    log.error("a broker's URL can't be read", webhook=receiver.id, error=str(error))
                    continue
                link.want(wanted[receiver.id])

    def close(self) -> None:
        """Say goodbye to all brokers; what they hold stays."""
        with self._lock:
            self._closed = True
            for webhook_id in list(self._links):
                self._end(webhook_id, Ending.OFFLINE)
            links = self._leaving
        until = time.monotonic() + CLOSE_S
        for link in links:
            link.join(max(0.0, until - time.monotonic()))

    def _current(self, receiver: Receiver) -> Link:
        if receiver.id in self._links:
            url, link = self._links[receiver.id]
            if url == receiver.url:
                return link
            # Another password leaves the topics where they are.
            same = parse(receiver.url).place == link.target.place
            self._end(receiver.id, Ending.OFFLINE if same else Ending.CLEARED)
        return self._make(receiver)[1]

    def _make(self, receiver: Receiver) -> tuple[str, Link]:
        target = parse(receiver.url)
        link = Link(Topics.of(receiver.id, target), target, self.dialling, self._timeout_s)
        self._links[receiver.id] = receiver.url, link
        return receiver.url, link

    def _end(self, webhook_id: str, how: Ending) -> None:
        _, link = self._links.pop(webhook_id)
        link.end(how)
        self._leaving.append(link)
