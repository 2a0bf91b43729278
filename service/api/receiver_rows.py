"""Finds receivers in the database, and checks the streams and brokers that they name."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.alert.attempts import ReceiverKind
from service.alert.mqtt.broker_url import parse_broker_url
from service.alert.replays import lock_receiver
from service.api.error_answers import refuse_field
from service.api.idents import IDENT, check_ids
from service.errors import NotFound
from service.store.tables import ReceiverRow, StreamRow

SWITCHED_OFF = "it was switched off"


def find_receiver(
    session: Session, receiver_id: str, kind: ReceiverKind | None = None, *, locked: bool = False
) -> ReceiverRow:
    """Find a receiver.

    Args:
        kind: it must be of this kind; None: of any.
        locked: nothing else may change it until the transaction ends.

    Raises: NotFound.
    """
    row = None
    if IDENT.fullmatch(receiver_id):
        row = (
            lock_receiver(session, receiver_id) if locked else session.get(ReceiverRow, receiver_id)
        )
    if row is None or kind not in (None, row.kind):
        raise NotFound(kind or "receiver", receiver_id)
    return row


def check_streams(session: Session, stream_ids: list[str] | None) -> list[str] | None:
    """Return the ids, each once. Raises: RequestRefused: one of them is no stream's."""
    return check_ids(session, stream_ids, StreamRow.id, "stream_ids", "stream")


def check_broker_is_free(
    session: Session, kind: str, url: str, receiver_id: str | None = None
) -> None:
    """Check that no other receiver has the same topics of the broker. Raises: RequestRefused."""
    if kind != ReceiverKind.MQTT:
        return
    place = parse_broker_url(url).place[:3]
    others = select(ReceiverRow).where(
        ReceiverRow.kind == kind, ReceiverRow.id != (receiver_id or "")
    )
    for other in session.scalars(others):
        if parse_broker_url(other.url).place[:3] == place:
            reason = (
                f"receiver {other.id} has this broker and topic prefix already: give this one "
                "another prefix, as in mqtt://broker/PREFIX"
            )
            raise refuse_field(409, "url", reason, url)


def forget_stream(session: Session, stream_id: str) -> None:
    """Remove a deleted stream from the receivers that name it.

    A receiver that named it alone is notified of no stream then, and not of all.
    """
    for receiver in session.scalars(select(ReceiverRow).with_for_update(key_share=True)):
        if receiver.stream_ids and stream_id in receiver.stream_ids:
            receiver.stream_ids = [ident for ident in receiver.stream_ids if ident != stream_id]


def forget_receiver(session: Session, receiver_id: str) -> None:
    """Remove a deleted receiver from the streams that name it."""
    for stream in session.scalars(select(StreamRow).with_for_update()):
        if stream.receiver_ids and receiver_id in stream.receiver_ids:
            stream.receiver_ids = [ident for ident in stream.receiver_ids if ident != receiver_id]
