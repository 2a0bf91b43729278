"""Makes one sender for each kind of receiver. A new kind of receiver is added here."""

from __future__ import annotations

from service.alert.apprise.apprise_sender import AppriseSender
from service.alert.attempts import ReceiverKind, Senders
from service.alert.mqtt.broker_session import ConnectOptions
from service.alert.mqtt.brokers import Brokers
from service.alert.mqtt.mqtt_sender import MqttSender
from service.alert.webhook.posting import Poster
from service.alert.webhook.webhook_sender import WebhookSender
from service.settings import Settings


def make_brokers(settings: Settings) -> Brokers:
    options = ConnectOptions(settings.private_receivers)
    return Brokers(options, settings.receiver_timeout_s)


def make_senders(settings: Settings, brokers: Brokers | None = None) -> Senders:
    """Make all senders, as the operator allows them.

    Args:
        brokers: given if other parts use them too; they are closed with the senders.
    """
    allow_private, timeout_s = settings.private_receivers, settings.receiver_timeout_s
    return {
        ReceiverKind.WEBHOOK: WebhookSender(Poster(allow_private, timeout_s)),
        ReceiverKind.MQTT: MqttSender(brokers or make_brokers(settings), timeout_s),
        ReceiverKind.APPRISE: AppriseSender(
            allow_private=allow_private, timeout_s=timeout_s, data_dir=settings.data_dir
        ),
    }


def close_senders(senders: Senders) -> None:
    for sender in senders.values():
        sender.close()
