"""The test button: a message that is sent at once, beside the outbox."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from service.alert.attempts import Attempt, Message, Receiver, Senders, attempt
from service.alert.outbox import iso8601
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

    def __init__(self, senders: Senders, clock: Callable[[], float] = time.time) -> None:
        self._senders = senders
        self._clock = clock
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def send(self, receiver: Receiver) -> Trial:
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
                "data": {"webhook_id": receiver.id},
            }
            text = json.dumps(body, separators=(",", ":"))
            message = Message(message_id, text, receiver)
            return Trial(message_id, attempt(message, self._senders, self._clock))
        finally:
            self._places.release()
