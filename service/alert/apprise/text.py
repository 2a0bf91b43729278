"""What people read of a message: a title, a few lines, and how bad it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.alert.outbox import EventType

_Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Text:
    """A message for people."""

    title: str
    body: str
    tone: str = "info"
    """A name of `apprise.NotifyType`."""


def text_of(body: Mapping[str, Any]) -> Text:
    """The text for a message's body, as the outbox wrote it."""
    data: _Data = body["data"]
    match body["type"]:
        case EventType.STARTED:
            return _started(data)
        case EventType.ENDED:
            return _ended(data)
        case EventType.DOWN:
            return Text(
                f"{data['stream_name']}: not watched",
                f"Since {_time(data['since'])}: {data['reason']}",
                "failure",
            )
        case EventType.RECOVERED:
            down = _length(data["down_for_s"])
            return Text(
                f"{data['stream_name']}: watched again",
                f"Since {_time(data['since'])}, after {down}.",
                "success",
            )
    return Text("normwatch: a test", "Messages arrive. Alerts will look like this one.")


def _started(data: _Data) -> Text:
    return Text(
        f"{data['stream_name']}: something unusual",
        f"Since {_time(data['started_at'])}. "
        f"Score {data['peak_score']:.2f}, threshold {data['threshold']:.2f}.",
        "warning",
    )


def _ended(data: _Data) -> Text:
    started, ended = data["started_at"], data["ended_at"]
    lines = f"From {_time(started)}"
    if ended is not None:
        length_s = (_parsed(ended) - _parsed(started)).total_seconds()
        lines += f", for {_length(length_s)}"
    lines += f". Highest score {data['peak_score']:.2f}, threshold {data['threshold']:.2f}."
    if data.get("label"):
        lines += f" Somebody called it {data['label']}."
    return Text(f"{data['stream_name']}: over", lines)


def _parsed(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _time(text: str) -> str:
    return _parsed(text).strftime("%Y-%m-%d %H:%M:%S UTC")


def _length(seconds: float) -> str:
    """Two units at most: 45 s, 3 min 20 s, 5 h 2 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
