"""The demo through the real service: a van drives through the picture, and a signed alert comes."""

from __future__ import annotations

import threading
from io import StringIO
from pathlib import Path

from rich.console import Console

from service.tools.demo.demo_run import NAME, Show, play
from service.tools.demo.walkway import Anomaly, AnomalyKind
from tests.support.servers import wait_for
from tests.support.service import running_service

SHORT = Show(seed=12, seconds=16.0, anomalies=(Anomaly(AnomalyKind.VAN, 4.0),))


def test_the_demo_shows_an_alert_and_its_end(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    environment = {
        "NORMWATCH_MEDIA_DIRS": str(media),
        "NORMWATCH_ALLOW_PRIVATE_RECEIVERS": "true",
    }
    text = StringIO()
    console = Console(file=text, width=200)
    stop = threading.Event()
    with running_service(tmp_path / "data", **environment) as service:
        player = threading.Thread(
            target=play, args=(service.url, media, console), kwargs={"show": SHORT, "stop": stop}
        )
        player.start()
        try:
            wait_for(lambda: "over" in text.getvalue(), "the end of the event", 90)
        finally:
            stop.set()
            player.join(30)
        streams = service.client.get("/streams").json()["items"]
        assert [(stream["name"], stream["model"]) for stream in streams] == [(NAME, "demo")]
        events = service.client.get("/events").json()["items"]
        assert events[-1]["stream_name"] == NAME
        # The van comes with frame 40.
        assert 40 <= events[-1]["first_frame"] <= 60
    assert not player.is_alive()
    assert "alert" in text.getvalue()


def test_a_second_demo_takes_the_place_of_the_first(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    environment = {
        "NORMWATCH_MEDIA_DIRS": str(media),
        "NORMWATCH_ALLOW_PRIVATE_RECEIVERS": "true",
    }
    stopped = threading.Event()
    stopped.set()
    with running_service(tmp_path / "data", **environment) as service:
        for _ in range(2):
            play(service.url, media, Console(file=StringIO()), show=SHORT, stop=stopped)
        assert len(service.client.get("/streams").json()["items"]) == 1
        assert len(service.client.get("/webhooks").json()["items"]) == 1


def test_a_service_that_is_away_is_said_in_a_sentence(tmp_path: Path) -> None:
    text = StringIO()
    play("http://127.0.0.1:9", tmp_path, Console(file=text, width=200), show=SHORT)
    assert "the service does not answer the demo" in text.getvalue()
