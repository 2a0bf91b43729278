"""All ways in which messages leave, made once for a front end."""

from __future__ import annotations

from service.alert.apprise.sender import AppriseSender
from service.alert.attempts import Sender, Senders, Way
from service.alert.mqtt.links import Links
from service.alert.mqtt.sender import MqttSender
from service.alert.mqtt.session import Dialling
from service.alert.webhook.posting import Poster
from service.alert.webhook.sender import WebhookSender
from service.settings import Settings


def make_links(settings: Settings) -> Links:
    """Connections to brokers, as the operator allows them."""
    return Links(Dialling(settings.allow_private_webhooks), settings.webhook_timeout_s)


def make_senders(settings: Settings, links: Links | None = None) -> Senders:
    """As the operator allows them.

    Args:
        links: for who has more to do with them; they are closed with the senders.
    """
    senders: dict[Way, Sender] = {
        Way.WEBHOOK: WebhookSender(
            Poster(settings.allow_private_webhooks, settings.webhook_timeout_s)
        ),
        Way.MQTT: MqttSender(links or make_links(settings), settings.webhook_timeout_s),
        Way.APPRISE: AppriseSender(
            allow_private=settings.allow_private_webhooks,
            timeout_s=settings.webhook_timeout_s,
            data_dir=settings.data_dir,
        ),
    }
    return senders


def close_senders(senders: Senders) -> None:
    """Let go of what they hold."""
    for sender in senders.values():
        sender.close()
