"""Defines the errors that normwatch raises on purpose: one sentence each, details as fields.

NormwatchError
├── BadInput            a value from the user is wrong: names the field and the value
├── NotFound            no such stream, event, receiver or model
├── BacklogFull         a bounded queue cannot take more now
├── Unavailable         a required part (Redis, the database) does not answer
├── SourceError         a camera or file cannot be read
├── StaleCursor         another recorder has moved a stream's cursor
└── AddressRefused      a receiver's host is at an address that must not be called
"""

from __future__ import annotations


class NormwatchError(Exception):
    """Base of all errors that normwatch raises."""


class BadInput(NormwatchError, ValueError):
    """A value from a user can't be used; `field` names it, as the user wrote it."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(f"{field}: {reason} (got {value!r})")
        self.field = field
        self.value = value
        self.reason = reason


class NotFound(NormwatchError):
    """There is nothing of that kind with that id."""

    def __init__(self, kind: str, ident: str) -> None:
        super().__init__(f"no {kind} with id {ident!r}")
        self.kind = kind
        self.ident = ident


class BacklogFull(NormwatchError):
    """A queue is at its limit; try again after `retry_after_s`."""

    def __init__(self, queue: str, limit: int, retry_after_s: int) -> None:
        super().__init__(f"{queue} holds its limit of {limit}; try again in {retry_after_s} s")
        self.queue = queue
        self.limit = limit
        self.retry_after_s = retry_after_s


class Unavailable(NormwatchError):
    """A required part does not answer now; try again after `retry_after_s`."""

    def __init__(
        self, part: str, retry_after_s: int = 2, *, problem: str = "does not answer"
    ) -> None:
        super().__init__(f"{part} {problem}; try again in {retry_after_s} s")
        self.part = part
        self.retry_after_s = retry_after_s


class SourceError(NormwatchError):
    """A source can't be opened or read; the text never holds credentials."""


class StaleCursor(NormwatchError):
    """Another recorder has stored scores of the stream meanwhile, so this write is rolled back."""

    def __init__(self, stream_id: str) -> None:
        super().__init__(f"another recorder has moved the cursor of stream {stream_id}")
        self.stream_id = stream_id


class AddressRefused(NormwatchError):
    """A receiver's host is at a private, loopback or otherwise special address."""

    def __init__(self, host: str, address: str) -> None:
        super().__init__(f"{host} is at {address}, and webhooks may not call such an address")
        self.host = host
        self.address = address
