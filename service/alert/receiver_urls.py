"""Finds out which kind of receiver a URL means, and checks whether it is allowed."""

from __future__ import annotations

from collections.abc import Callable

from service.alert.addresses import AllowPrivate, check_url
from service.alert.apprise.apprise_sender import check_apprise_url
from service.alert.attempts import ReceiverKind
from service.alert.mqtt.broker_url import check_broker_url
from service.errors import BadInput
from service.logs import hide_secrets

_KINDS = {
    "http": ReceiverKind.WEBHOOK,
    "https": ReceiverKind.WEBHOOK,
    "mqtt": ReceiverKind.MQTT,
    "mqtts": ReceiverKind.MQTT,
}


_CHECKS: dict[ReceiverKind, Callable[..., None]] = {
    ReceiverKind.WEBHOOK: check_url,
    ReceiverKind.MQTT: check_broker_url,
    ReceiverKind.APPRISE: check_apprise_url,
}


def find_kind(url: str) -> ReceiverKind:
    """Return the kind that the URL's scheme means: Apprise's for all schemes not known here."""
    scheme, found, _ = url.partition("://")
    return (
        _KINDS.get(scheme.strip().lower(), ReceiverKind.APPRISE) if found else ReceiverKind.WEBHOOK
    )


def check_receiver_url(kind: ReceiverKind, url: str, *, allow_private: AllowPrivate) -> None:
    """Check whether messages may go to the URL, without looking its host up.

    Raises: BadInput: they may not.
    """
    if "://" not in url:
        reason = "it must be a URL: https://…, mqtt://…, or one of those that Apprise knows"
        raise BadInput("url", hide_secrets(url)[:50], reason)
    if "***" in url or url.endswith("://…"):
        reason = "it was copied from an answer, where its secret parts are hidden"
        raise BadInput("url", hide_secrets(url), reason)
    _CHECKS[kind](url, allow_private=allow_private)
