"""Runs the demo on a running service as a user would, by the API and a webhook."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape

from service.alert.outbox import EventType, OutageData, RecoveryData
from service.alert.webhook.webhook_sender import make_secret
from service.tools.demo.video import write_video
from service.tools.demo.walkway import Anomaly, AnomalyKind, draw_frames
from service.tools.demo.webhook_listener import Alert, TrialData, WebhookListener

NAME = "Drawn walkway (demo)"
MODEL = "demo"
ALERT_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Show:
    """The scene that is played in a loop."""

    seed: int
    seconds: float
    anomalies: tuple[Anomaly, ...]


SHOW = Show(
    seed=11,
    seconds=54.0,
    anomalies=(
        Anomaly(AnomalyKind.VAN, 20.0),
        Anomaly(AnomalyKind.CYCLIST, 32.0),
        Anomaly(AnomalyKind.RUNNER, 43.0),
    ),
)


class _DemoObject(BaseModel):
    """A stream or webhook in the API's answer, as far as the demo needs it."""

    id: str
    name: str = ""
    receiver_ids: list[str] | None = None


class _StreamList(BaseModel):
    items: list[_DemoObject]


def play(
    base_url: str,
    media_dir: Path,
    console: Console,
    *,
    show: Show = SHOW,
    api_key: str | None = None,
    stop: threading.Event | None = None,
    alert_timeout_s: float = ALERT_TIMEOUT_S,
) -> None:
    """Play the scene through the service and print its alerts, until `stop`.

    Args:
        media_dir: a folder that the service may read sources from; the video is written there.
        stop: ends the demo; None goes on for ever.
        alert_timeout_s: after this long without an alert, print that there was none.
    """
    stop = stop or threading.Event()
    alerted = threading.Event()

    def print_alert(alert: Alert) -> None:
        console.print(describe_alert(alert, time.time()))
        alerted.set()

    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        with (
            WebhookListener(make_secret(), print_alert) as listener,
            httpx.Client(base_url=base_url, headers=headers, timeout=30, trust_env=False) as client,
        ):
            console.print("drawing the scene …")
            _start(client, listener, media_dir, show)
            first = show.anomalies[0]
            console.print(
                f"watch it at [bold]{escape(base_url)}[/bold]: people walk; "
                f"after {first.at_s:.0f} s comes a {first.kind}"
            )
            _wait(alerted, stop, alert_timeout_s, console)
            stop.wait()
    except httpx.HTTPStatusError as error:
        console.print(f"[red]the service refused the demo:[/red] {escape(error.response.text)}")
    except httpx.HTTPError as error:
        console.print(f"[red]the service does not answer the demo:[/red] {escape(str(error))}")


def _start(client: httpx.Client, listener: WebhookListener, media_dir: Path, show: Show) -> None:
    """Draw the video, and register webhook and stream."""
    _delete_earlier(client)
    video = media_dir.absolute() / "walkway.mp4"
    write_video(video, draw_frames(show.seed, show.seconds, show.anomalies))
    webhook = _create(client, "/webhooks", {"url": listener.url, "secret": listener.secret})
    stream: dict[str, object] = {"name": NAME, "source": str(video), "model": MODEL, "loop": True}
    _create(client, "/streams", {**stream, "receiver_ids": [webhook.id]})


def _delete_earlier(client: httpx.Client) -> None:
    """Remove what an earlier demo left in the same data folder."""
    answer = client.get("/streams").raise_for_status()
    for stream in _StreamList.model_validate_json(answer.content).items:
        if stream.name != NAME:
            continue
        client.delete(f"/streams/{stream.id}").raise_for_status()
        for receiver_id in stream.receiver_ids or ():
            client.delete(f"/webhooks/{receiver_id}")  # it may be gone already


def _create(client: httpx.Client, path: str, body: dict[str, object]) -> _DemoObject:
    answer = client.post(path, json=body).raise_for_status()
    return _DemoObject.model_validate_json(answer.content)


def _wait(
    alerted: threading.Event, stop: threading.Event, timeout_s: float, console: Console
) -> None:
    """Wait until the first alert, the time limit, or `stop`."""
    end = time.monotonic() + timeout_s
    while not (alerted.wait(0.2) or stop.is_set()):
        if time.monotonic() > end:
            console.print(f"[red]no alert within {timeout_s:.0f} s[/red]; see the log above")
            return


def describe_alert(alert: Alert, now: float) -> str:
    """Describe a message in one line, in rich's markup."""
    data = alert.data
    if isinstance(data, TrialData):
        return f"[cyan]test[/cyan]   of webhook {escape(data.receiver_id)}"
    name = escape(data.stream_name)
    if isinstance(data, RecoveryData):
        return f"[green]back[/green]   {name}: {data.state}, after {data.down_for_s:.0f} s"
    if isinstance(data, OutageData):
        return f"[bold red]down[/bold red]   {name}: {data.state}; {escape(data.reason)}"
    started = datetime.fromisoformat(data.started_at)
    if alert.type is EventType.STARTED:
        return (
            f"[bold red]alert[/bold red]  {name}: abnormal since frame {data.first_frame}, "
            f"{started.astimezone():%H:%M:%S}; score {data.peak_score:.2f}, "
            f"threshold {data.threshold:.2f}; sent {now - started.timestamp():.1f} s later, signed"
        )
    ended = datetime.fromisoformat(data.ended_at) if data.ended_at else started
    return (
        f"[green]over[/green]   {name}: frames {data.first_frame} to {data.last_frame}, "
        f"{(ended - started).total_seconds():.1f} s; highest score {data.peak_score:.2f}"
    )
