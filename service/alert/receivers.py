"""Receivers that are being registered: which way a URL means, and whether it may be used."""

from __future__ import annotations

from typing import Protocol

from service.alert.addresses import check_url
from service.alert.apprise.sender import check_apprise_url
from service.alert.attempts import Way
from service.alert.mqtt import targets as mqtt
from service.errors import BadInput
from service.logs import hide_secrets

_SCHEMES = {"http": Way.WEBHOOK, "https": Way.WEBHOOK, "mqtt": Way.MQTT, "mqtts": Way.MQTT}


class _Check(Protocol):
    def __call__(self, url: str, *, allow_private: bool) -> None: ...


_CHECKS: dict[Way, _Check] = {
    Way.WEBHOOK: check_url,
    Way.MQTT: mqtt.check_url,
    Way.APPRISE: check_apprise_url,
}


def way_of(url: str) -> Way:
    """What the URL's scheme means: of those that aren't known here Apprise knows a hundred."""
    scheme, found, _ = url.partition("://")
    return _SCHEMES.get(scheme.strip().lower(), Way.APPRISE) if found else Way.WEBHOOK


def check_receiver(way: Way, url: str, *, allow_private: bool) -> None:
    """Whether messages may go there, as far as can be told now.

    Raises: BadInput: they may not.
    """
    if "://" not in url:
        reason = "it must be a URL: https://…, mqtt://…, or one of those that Apprise knows"
        raise BadInput("url", hide_secrets(url)[:50], reason)
    if "://***@" in url or url.endswith("://…"):
        shown = hide_secrets(url)
        raise BadInput("url", shown, "is what answers show: its secret parts are missing")
    _CHECKS[way](url, allow_private=allow_private)
