"""The test button: a signed message that is sent at once, beside the outbox."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from service.alert.attempts import Attempt, Message, attempt
from service.alert.outbox import iso8601
from service.alert.posting import Poster
from service.errors import BacklogFull

EVENT_TYPE = "test"
AT_ONCE = 4
"""Tests that may be under way: each holds a request for as long as its receiver likes."""
RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class Trial:
    """A test message that was sent."""

    message_id: str
    attempt: Attempt


class Trials:
    """Sends test messages, with the checks and limits of real ones."""

    def __init__(self, poster: Poster, clock: Callable[[], float] = time.time) -> None:
        self._poster = poster
        self._clock = clock
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def send(self, webhook_id: str, *, url: str, secret: str, old_secret: str | None) -> Trial:
        """One attempt, whether the webhook is enabled or not.

        Raises: BacklogFull: too many are under way.
        """
        if not self._places.acquire(blocking=False):
            raise BacklogFull("the number of tests under way", AT_ONCE, RETRY_AFTER_S)
        try:
            message_id = f"msg_{uuid.uuid4().hex}"
            body = {
                "type": EVENT_TYPE,
                "timestamp": iso8601(self._clock()),
                "data": {"webhook_id": webhook_id},
            }
            text = json.dumps(body, separators=(",", ":"))
            message = Message(message_id, text, url, secret, old_secret)
            return Trial(message_id, attempt(message, self._poster, self._clock))
        finally:
            self._places.release()
