"""One attempt to deliver a message: what is sent, what came of it, and what can send it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Protocol

from service.errors import NormwatchError

MAX_ERROR_CHARACTERS = 500


class ReceiverKind(StrEnum):
    """How a receiver gets its messages."""

    WEBHOOK = "webhook"
    """As a signed POST, as Standard Webhooks defines it."""
    MQTT = "mqtt"
    """Through a broker, with what Home Assistant needs to discover the streams."""
    APPRISE = "apprise"
    """As a text, by one of the services that Apprise knows."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A receiver: where messages go, and by which kind of sender."""

    id: str
    kind: ReceiverKind
    url: str = field(repr=False)
    """It holds credentials: no answer and no log line contains it."""
    secret: str = field(default="", repr=False)
    """It signs a webhook's messages; other kinds have none."""
    old_secret: str | None = field(default=None, repr=False)
    """It signs too; None: there is none, or it has expired."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent, and where to."""

    id: str
    body: str
    """JSON; `service.alert.outbox.parse_notification` reads it."""
    receiver: Receiver
    stream_id: str | None = None
    """None: it is a test message."""
    picture: bytes | None = None
    """JPEG of the event that it is about, for the kinds that can show one."""
    is_replay: bool = False
    """It is sent again on request, and may be older than what the receiver has got since."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one request."""

    at: float
    """When it began."""
    took_s: float
    status: int | None
    """HTTP status; None: there was no answer, or the receiver is no webhook."""
    answer: str | None
    """The beginning of its body, without control characters."""
    error: str | None
    """None: the receiver accepted the message."""
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class SendResult:
    """What a sender reports of one attempt, as in `Attempt`."""

    status: int | None = None
    answer: str | None = None
    error: str | None = None
    retry_after: str | None = None


class Undelivered(NormwatchError):
    """There was no answer; the text says why, without the URL."""


class Sender(Protocol):
    """Sends messages to receivers of one kind. Any thread may use it."""

    def send(self, message: Message, now: float) -> SendResult:
        """Send it once, within the time that settings allow. Raises: Undelivered."""

    def close(self) -> None:
        """Release what it holds."""


Senders = Mapping[ReceiverKind, Sender]


def attempt(message: Message, senders: Senders, clock: Callable[[], float]) -> Attempt:
    """Send the message once, by the sender for its receiver's kind.

    Raises: ValueError: a secret or the body can't be read.
    """
    at, began = clock(), time.monotonic()
    try:
        result = senders[message.receiver.kind].send(message, at)
    except Undelivered as error:
        result = SendResult(error=str(error)[:MAX_ERROR_CHARACTERS])
    return Attempt(at, time.monotonic() - began, **asdict(result))
