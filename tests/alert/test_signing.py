"""Signatures that the library's own check accepts."""

from __future__ import annotations

import base64
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from service.alert.deliverer import DELAYS_S, choose_delay_s
from service.alert.webhook.webhook_sender import make_secret, sign


def test_secrets_are_random_and_of_24_bytes() -> None:
    first, second = make_secret(), make_secret()
    assert first != second
    assert first.startswith("whsec_")
    assert len(base64.b64decode(first.removeprefix("whsec_"))) == 24


def test_a_signature_holds_for_its_body_id_and_secret_only() -> None:
    secret, body = make_secret(), '{"type":"event.started"}'
    headers = sign(secret, message_id="msg_1", body=body, now=time.time())
    assert Webhook(secret).verify(body, headers) == {"type": "event.started"}
    for changed_body, changed_headers, other in (
        (body + " ", headers, secret),
        (body, headers | {"webhook-id": "msg_2"}, secret),
        (body, headers, make_secret()),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(other).verify(changed_body, changed_headers)


def test_two_secrets_sign_side_by_side() -> None:
    new, old, body = make_secret(), make_secret(), "{}"
    headers = sign(new, message_id="msg_1", body=body, now=time.time(), old_secret=old)
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (new, old):
        Webhook(secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(make_secret()).verify(body, headers)


def test_attempts_are_spread_over_hours() -> None:
    delays = [choose_delay_s(attempts) for attempts in range(1, 12)]
    for delay, planned in zip(delays, DELAYS_S, strict=False):
        assert planned <= delay <= 1.2 * planned
    assert 8 * 3600 < sum(delays) < 24 * 3600


def test_a_receiver_is_not_called_sooner_than_it_asked() -> None:
    assert choose_delay_s(1, 100.0) >= 100.0
    assert choose_delay_s(9, 100.0) >= DELAYS_S[-1]
