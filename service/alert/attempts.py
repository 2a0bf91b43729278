"""One attempt to deliver a message: signed, sent, and told as what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from service.alert.posting import Poster, Undelivered
from service.alert.signing import sign

MAX_ERROR_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent, where to, and the secrets that sign it."""

    id: str
    body: str
    url: str
    secret: str
    old_secret: str | None
    """Signs too; None: there is none, or its time is over."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one request."""

    at: float
    """When it began."""
    took_s: float
    status: int | None
    """None: there was no answer."""
    answer: str | None
    """The beginning of its body, printable."""
    error: str | None
    """None: the receiver accepted the message."""
    retry_after: str | None = None


def attempt(message: Message, poster: Poster, clock: Callable[[], float]) -> Attempt:
    """Send the message once. Any 2xx accepts it.

    Raises: ValueError: a secret isn't one.
    """
    at, began = clock(), time.monotonic()
    headers = sign(
        message.secret,
        message_id=message.id,
        body=message.body,
        now=at,
        old_secret=message.old_secret,
    )
    try:
        answer = poster.post(message.url, message.body, headers)
    except Undelivered as error:
        took_s = time.monotonic() - began
        return Attempt(at, took_s, None, None, str(error)[:MAX_ERROR_CHARACTERS])
    accepted = 200 <= answer.status < 300
    return Attempt(
        at=at,
        took_s=time.monotonic() - began,
        status=answer.status,
        answer=answer.beginning,
        error=None if accepted else f"the receiver answered {answer.status}",
        retry_after=answer.retry_after,
    )
