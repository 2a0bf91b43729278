"""Turns a notification into a text for people: a title, a few lines, and how bad it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from model.scoring.cause import Cause
from service.alert.outbox import EventData, EventType, Notification, OutageData, RecoveryData


@dataclass(frozen=True, slots=True)
class MessageText:
    """A message for people."""

    title: str
    body: str
    tone: str = "info"
    """A name of `apprise.NotifyType`."""


def write_text(notification: Notification) -> MessageText:
    match notification.data:
        case EventData() as event if notification.type == EventType.STARTED:
            return _write_start_text(event)
        case EventData() as event:
            return _write_end_text(event)
        case RecoveryData() as recovery:
            return MessageText(
                f"{recovery.stream_name}: watched again",
                f"Since {_format_time(recovery.since)}, "
                f"after {_format_length(recovery.down_for_s)}.",
                "success",
            )
        case OutageData() as outage:
            return MessageText(
                f"{outage.stream_name}: not watched",
                f"Since {_format_time(outage.since)}: {outage.reason}",
                "failure",
            )
    return MessageText("normwatch: a test", "Messages arrive. Alerts will look like this one.")


def _write_start_text(event: EventData) -> MessageText:
    return MessageText(
        f"{event.stream_name}: {_describe_cause(event)}",
        f"Since {_format_time(event.started_at)}. "
        f"Score {event.peak_score:.2f}, threshold {event.threshold:.2f}.",
        "warning",
    )


def _describe_cause(event: EventData) -> str:
    if event.cause == Cause.STANDING:
        return "something new stands still"
    return "something unusual"


def _write_end_text(event: EventData) -> MessageText:
    lines = f"From {_format_time(event.started_at)}"
    if event.ended_at is not None:
        length = datetime.fromisoformat(event.ended_at) - datetime.fromisoformat(event.started_at)
        lines += f", for {_format_length(length.total_seconds())}"
    lines += f". Highest score {event.peak_score:.2f}, threshold {event.threshold:.2f}."
    if event.label:
        lines += f" Somebody called it {event.label}."
    return MessageText(f"{event.stream_name}: over", lines)


def _format_time(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S UTC")


def _format_length(seconds: float) -> str:
    """Format a duration in at most two units: 45 s, 3 min 20 s, 5 h 2 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
