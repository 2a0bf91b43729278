"""Sends messages to webhooks as signed requests. Any 2xx accepts a message."""

from __future__ import annotations

from service.alert.attempts import Message, SendResult
from service.alert.webhook.posting import Poster
from service.alert.webhook.signing import sign


class WebhookSender:
    """Signs and posts."""

    def __init__(self, poster: Poster) -> None:
        self._poster = poster

    def send(self, message: Message, now: float) -> SendResult:
        """Send it. Raises: Undelivered: no answer came. ValueError: a secret isn't one."""
        receiver = message.receiver
        headers = sign(
            receiver.secret,
            message_id=message.id,
            body=message.body,
            now=now,
            old_secret=receiver.old_secret,
        )
        answer = self._poster.post(receiver.url, message.body, headers)
        accepted = 200 <= answer.status < 300
        return SendResult(
            status=answer.status,
            answer=answer.beginning,
            error=None if accepted else f"the receiver answered {answer.status}",
            retry_after=answer.retry_after,
        )

    def close(self) -> None:
        """Do nothing: each request closes its own connection."""
