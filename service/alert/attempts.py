"""One attempt to deliver a message: what is sent, what came of it, and who can do it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from service.errors import NormwatchError

MAX_ERROR_CHARACTERS = 500


class Way(StrEnum):
    """How messages leave."""

    WEBHOOK = "webhook"
    """A signed POST, as Standard Webhooks has it."""
    MQTT = "mqtt"
    """To a broker, with what Home Assistant needs to discover."""
    APPRISE = "apprise"
    """As a text, by one of the services that Apprise knows."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where messages go."""

    id: str
    """The webhook's."""
    way: Way
    url: str = field(repr=False)
    """With its credentials: never shown, never logged."""
    secret: str = field(default="", repr=False)
    """Signs webhooks; the other ways have none."""
    old_secret: str | None = field(default=None, repr=False)
    """Signs too; None: there is none, or its time is over."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent, and where to."""

    id: str
    body: str
    """JSON: `type`, `timestamp` and `data`."""
    receiver: Receiver
    stream_id: str | None = None
    """None: a test's."""
    picture: bytes | None = None
    """JPEG of what it tells of, for the ways that can show one."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one request."""

    at: float
    """When it began."""
    took_s: float
    status: int | None
    """Of HTTP; None: there was no answer, or it isn't the way's."""
    answer: str | None
    """The beginning of its body, printable."""
    error: str | None
    """None: the receiver accepted the message."""
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sender has to tell of one attempt, as in `Attempt`."""

    status: int | None = None
    answer: str | None = None
    error: str | None = None
    retry_after: str | None = None


class Undelivered(NormwatchError):
    """There was no answer; the text says why, without the URL."""


class Sender(Protocol):
    """One of the ways. Any thread may use it."""

    def send(self, message: Message, now: float) -> Outcome:
        """Send it once, within the time that settings allow. Raises: Undelivered."""

    def close(self) -> None:
        """Let go of what it holds."""


Senders = Mapping[Way, Sender]


def attempt(message: Message, senders: Senders, clock: Callable[[], float]) -> Attempt:
    """Send the message once, its way.

    Raises: ValueError: a secret isn't one.
    """
    at, began = clock(), time.monotonic()
    try:
        outcome = senders[message.receiver.way].send(message, at)
    except Undelivered as error:
        outcome = Outcome(error=str(error)[:MAX_ERROR_CHARACTERS])
    return Attempt(
        at=at,
        took_s=time.monotonic() - began,
        status=outcome.status,
        answer=outcome.answer,
        error=outcome.error,
        retry_after=outcome.retry_after,
    )
