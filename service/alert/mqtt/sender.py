"""Messages to brokers: each is delivered when the broker has acknowledged it and its state."""

from __future__ import annotations

import time
from datetime import datetime

from service.alert.attempts import Message, Outcome, Receiver, Undelivered
from service.alert.mqtt import states
from service.alert.mqtt.links import Links
from service.alert.mqtt.session import Publication, Session
from service.alert.mqtt.targets import parse
from service.alert.mqtt.topics import Kind, Topics
from service.alert.mqtt.view import View
from service.errors import BadInput

LATE_S = 60.0
"""A message that is older than what the broker holds by this doesn't change it: it was replayed, or
given up and found again. Clocks of several front ends may differ by less."""


class MqttSender:
    """Publishes over the webhooks' lasting connections."""

    def __init__(self, links: Links, timeout_s: float) -> None:
        self._links = links
        self._timeout_s = timeout_s

    def send(self, message: Message, now: float) -> Outcome:
        """Raises: Undelivered: the broker has not acknowledged all of it."""
        deadline = time.monotonic() + self._timeout_s
        try:
            if message.stream_id is None:
                self._test(message, deadline)
            else:
                self._send(message, message.stream_id, deadline)
        except BadInput as error:
            raise Undelivered(str(error)) from error
        return Outcome()

    def close(self) -> None:
        """Say goodbye to all brokers."""
        self._links.close()

    def _send(self, message: Message, stream_id: str, deadline: float) -> None:
        link = self._links.open(message.receiver)
        session = link.session(deadline)
        if _is_late(link.topics, link.view, stream_id, message):
            publications = states.of_late_message(link.topics, stream_id, message)
        else:
            publications = states.of_message(link.topics, stream_id, message)
        session.publish([each for each in publications if session.takes(each.payload)], deadline)

    def _test(self, message: Message, deadline: float) -> None:
        """Also to a webhook that is off: over a connection for this message alone."""
        receiver = message.receiver
        topics = Topics.of(receiver.id, parse(receiver.url))
        test = Publication(topics.test, message.body.encode(), retain=False, message_id=message.id)
        link = self._links.find(receiver)
        if link is not None:
            link.session(deadline).publish([test], deadline)
            return
        session = self._connect(receiver, deadline)
        try:
            session.publish([test], deadline)
        finally:
            session.close()

    def _connect(self, receiver: Receiver, deadline: float) -> Session:
        return Session(parse(receiver.url), self._links.dialling, deadline)


def _is_late(topics: Topics, view: View, stream_id: str, message: Message) -> bool:
    kind = Kind.EVENT if states.is_about_event(message) else Kind.OUTAGE
    held = view.holds(topics.of_stream(stream_id, kind))
    try:
        newest = datetime.fromisoformat(states.updated_at(held or b""))
    except ValueError:
        return False
    told = datetime.fromisoformat(states.told_at(message))
    return (newest - told).total_seconds() > LATE_S
