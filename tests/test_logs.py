"""Credentials are never logged, and redacting them takes no time."""

from __future__ import annotations

import time

import pytest

from service.api.redaction import MAX_LENGTH, MAX_READ, redact_value
from service.logs import hide_secrets

LONG = 1_000_000


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("rtsp://user:secret@host/1 failed", "rtsp://***@host/1 failed"),
        ("'http://a:b@c' and rtsp://d:e@f", "'http://***@c' and rtsp://***@f"),
        ("rtsp://user:p@ss://w@host/1", "rtsp://***@host/1"),
        ("mail to a@b.c", "mail to a@b.c"),
        ("key whsec_abc+/=12 there", "key whsec_*** there"),
        ("http://host/path", "http://host/path"),
    ],
)
def test_credentials_and_secrets_are_hidden(text: str, safe: str) -> None:
    assert hide_secrets(text) == safe


@pytest.mark.parametrize("piece", ["x", "@", "a://", "a://@", "://", "whsec_", "a@b://c "])
def test_a_long_text_is_done_at_once(piece: str) -> None:
    text = piece * (LONG // len(piece))
    began = time.process_time()
    hide_secrets(text)
    # A second for what takes hours if it grows with the square of the length.
    assert time.process_time() - began < 10.0
    assert len(str(redact_value("note", text))) <= MAX_LENGTH


def test_what_is_too_long_to_be_looked_through_is_not_shown() -> None:
    url = "rtsp://user:" + "secret" * MAX_READ + "@host"
    assert redact_value("source", url) == f"({len(url)} characters)"
    assert redact_value("note", "x" * MAX_READ) == "x" * MAX_LENGTH
