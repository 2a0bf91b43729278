"""Sends test messages at once, without the outbox."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from service.alert.attempts import Attempt, Message, Receiver, Senders, attempt
from service.alert.outbox import (
    TEST_TYPE,
    Notification,
    ReceiverTestData,
    iso8601,
    serialise_notification,
)
from service.errors import BacklogFull

AT_ONCE = 4
"""Tests that may be under way: each one occupies a request until its receiver answers."""
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
        """Send one test message, even to a receiver that is off.

        Raises: BacklogFull: too many are under way.
        """
        if not self._places.acquire(blocking=False):
            raise BacklogFull("the number of tests under way", AT_ONCE, RETRY_AFTER_S)
        try:
            message_id = f"msg_{uuid.uuid4().hex}"
            data = ReceiverTestData(receiver.id)
            notification = Notification(TEST_TYPE, iso8601(self._clock()), data)
            message = Message(message_id, serialise_notification(notification), receiver)
            return Trial(message_id, attempt(message, self._senders, self._clock))
        finally:
            self._places.release()
