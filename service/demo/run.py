"""What the demo does against a running service: as a user would, by the API and a webhook."""

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
from service.alert.webhook.signing import new_secret
from service.demo.receiver import Alert, Receiver, TrialData
from service.demo.scene import Anomaly, AnomalyKind, frames
from service.demo.video import write_video

NAME = "Drawn walkway (demo)"
MODEL = "demo"
ALERT_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Show:
    """What is played, over and over."""

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


class _Registered(BaseModel):
    """What the API answers, as far as the demo needs it."""

    id: str
    name: str = ""
    webhook_ids: list[str] | None = None


class _Streams(BaseModel):
    items: list[_Registered]


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
        stop: None goes on for ever.
        alert_timeout_s: without an alert for this long, say so.
    """
    stop = stop or threading.Event()
    alerted = threading.Event()

    def tell(alert: Alert) -> None:
        console.print(describe(alert, time.time()))
        alerted.set()

    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        with (
            Receiver(new_secret(), tell) as receiver,
            httpx.Client(base_url=base_url, headers=headers, timeout=30, trust_env=False) as client,
        ):
            console.print("drawing the scene …")
            _start(client, receiver, media_dir, show)
            first = show.anomalies[0]
            console.print(
                f"watch it at [bold]{base_url}[/bold]: people walk; "
                f"after {first.at_s:.0f} s comes a {first.kind}"
            )
            _wait(alerted, stop, alert_timeout_s, console)
            stop.wait()
    except httpx.HTTPStatusError as error:
        console.print(f"[red]the service refused the demo:[/red] {escape(error.response.text)}")
    except httpx.HTTPError as error:
        console.print(f"[red]the service does not answer the demo:[/red] {escape(str(error))}")


def _start(client: httpx.Client, receiver: Receiver, media_dir: Path, show: Show) -> None:
    """Draw the video, and register webhook and stream."""
    _forget_earlier(client)
    video = media_dir.absolute() / "walkway.mp4"
    write_video(video, frames(show.seed, show.seconds, show.anomalies))
    webhook = _create(client, "/webhooks", {"url": receiver.url, "secret": receiver.secret})
    stream: dict[str, object] = {"name": NAME, "source": str(video), "model": MODEL, "loop": True}
    _create(client, "/streams", {**stream, "webhook_ids": [webhook.id]})


def _forget_earlier(client: httpx.Client) -> None:
    """Remove what an earlier demo left in the same data folder."""
    answer = client.get("/streams").raise_for_status()
    for stream in _Streams.model_validate_json(answer.content).items:
        if stream.name != NAME:
            continue
        client.delete(f"/streams/{stream.id}").raise_for_status()
        for webhook_id in stream.webhook_ids or ():
            client.delete(f"/webhooks/{webhook_id}")  # gone already is as good


def _create(client: httpx.Client, path: str, body: dict[str, object]) -> _Registered:
    answer = client.post(path, json=body).raise_for_status()
    return _Registered.model_validate_json(answer.content)


def _wait(
    alerted: threading.Event, stop: threading.Event, timeout_s: float, console: Console
) -> None:
    """Until the first alert, the time limit, or `stop`."""
    end = time.monotonic() + timeout_s
    while not (alerted.is_set() or stop.is_set()):
        if time.monotonic() > end:
            console.print(f"[red]no alert within {timeout_s:.0f} s[/red]; look at the log above")
            return
        alerted.wait(0.2)


def describe(alert: Alert, now: float) -> str:
    """A line for people, in rich's markup."""
    data = alert.data
    if isinstance(data, TrialData):
        return f"[cyan]test[/cyan]   of webhook {escape(data.webhook_id)}"
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
            f"threshold {data.threshold:.2f}; told {now - started.timestamp():.1f} s later, signed"
        )
    ended = datetime.fromisoformat(data.ended_at) if data.ended_at else started
    return (
        f"[green]over[/green]   {name}: frames {data.first_frame} to {data.last_frame}, "
        f"{(ended - started).total_seconds():.1f} s; highest score {data.peak_score:.2f}"
    )
