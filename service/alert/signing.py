"""Signatures of webhooks, as Standard Webhooks has them."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime

from standardwebhooks import Webhook


def new_secret() -> str:
    """A secret for one webhook: `whsec_` and 24 random bytes as base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def sign(secret: str, *, message_id: str, body: str, now: float) -> dict[str, str]:
    """The three headers that let a receiver check who sent the body, and when.

    Raises: ValueError: the secret isn't one.
    """
    at = datetime.fromtimestamp(int(now), tz=UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": Webhook(secret).sign(msg_id=message_id, timestamp=at, data=body),
    }
