"""Sends messages to webhooks as signed requests. Any 2xx accepts a message."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from standardwebhooks import Webhook

from service.alert.attempts import Message, SendResult
from service.alert.webhook.posting import Poster


def make_secret() -> str:
    """Make a secret for one webhook: `whsec_` and 24 random bytes as base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def sign(
    secret: str, *, message_id: str, body: str, now: float, old_secret: str | None = None
) -> dict[str, str]:
    """Return the three headers that let a receiver check who sent the body, and when.

    Args:
        old_secret: signs too, so that a receiver may know either of them.

    Raises: ValueError: a secret isn't one.
    """
    at = datetime.fromtimestamp(int(now), tz=UTC)
    secrets_in_force = [secret] if old_secret is None else [secret, old_secret]
    signatures = [
        Webhook(each).sign(msg_id=message_id, timestamp=at, data=body) for each in secrets_in_force
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": " ".join(signatures),
    }


@dataclass(frozen=True, slots=True)
class WebhookSender:
    """Signs and posts."""

    poster: Poster

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
        answer = self.poster.post(receiver.url, message.body, headers)
        accepted = 200 <= answer.status < 300
        return SendResult(
            status=answer.status,
            answer=answer.beginning,
            error=None if accepted else f"the receiver answered {answer.status}",
            retry_after=answer.retry_after,
        )

    def close(self) -> None:
        """Do nothing: each request closes its own connection."""
