"""Sends messages to brokers: one is delivered when the broker has acknowledged it and its state."""

from __future__ import annotations

from dataclasses import dataclass

from service.alert.attempts import Message, SendResult, Undelivered
from service.alert.mqtt.broker_session import BrokerSession, Publication
from service.alert.mqtt.broker_url import parse_broker_url
from service.alert.mqtt.brokers import Brokers
from service.alert.mqtt.publications import publish_message, publish_notified_state
from service.alert.mqtt.topics import Topics
from service.alert.outbox import parse_notification
from service.errors import BadInput
from service.timers import Deadline


@dataclass(frozen=True, slots=True)
class MqttSender:
    """Publishes over the receivers' lasting connections."""

    brokers: Brokers
    timeout_s: float

    def send(self, message: Message, now: float) -> SendResult:
        """Publish it. Raises: Undelivered: the broker has not acknowledged all of it."""
        deadline = Deadline(self.timeout_s)
        try:
            if message.stream_id is None:
                self._send_test(message, deadline)
            else:
                self._send(message, message.stream_id, deadline)
        except BadInput as error:
            raise Undelivered(str(error)) from error
        return SendResult()

    def close(self) -> None:
        self.brokers.close()

    def _send(self, message: Message, stream_id: str, deadline: Deadline) -> None:
        topics = Topics.make(message.receiver.id, parse_broker_url(message.receiver.url))
        publications = [publish_message(topics, stream_id, message)]
        if not message.is_replay:
            # The message comes last: its subscribers find the state there already. A replay may be
            # older than the state.
            notification = parse_notification(message.body)
            publications = [
                *publish_notified_state(topics, stream_id, notification, message.picture),
                *publications,
            ]
        self.brokers.open(message.receiver).publish(publications, deadline)

    def _send_test(self, message: Message, deadline: Deadline) -> None:
        """Send it over a connection of its own if the receiver is off."""
        receiver = message.receiver
        url = parse_broker_url(receiver.url)
        topic = Topics.make(receiver.id, url).test
        test = Publication(topic, message.body.encode(), retain=False, message_id=message.id)
        link = self.brokers.find(receiver)
        if link is not None:
            link.publish([test], deadline)
            return
        session = BrokerSession(url, self.brokers.options, deadline)
        try:
            session.publish([test], deadline)
        finally:
            session.close()
