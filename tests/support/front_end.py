"""The front end for tests: the real application under a real uvicorn, in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn

from service.api.app import create_app
from service.api.server.http_server import make_server_config
from service.settings import Settings
from service.store.database import Database
from service.store.tables import DeliveryRow, EventRow, ScoreRow
from tests.support.servers import wait_for

FUTURE = 4_000_000_000.0
"""What waits until then isn't sent by the deliverer that runs at the same time."""


@contextmanager
def front_end(settings: Settings) -> Iterator[str]:
    """Run it until the end of the block; yields its base URL."""
    config = make_server_config(create_app(settings), settings, port=0, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="front end")
    thread.start()
    try:
        wait_for(lambda: server.started or not thread.is_alive(), "the front end")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


@contextmanager
def client(settings: Settings, headers: Mapping[str, str] | None = None) -> Iterator[httpx.Client]:
    """Run it, with a client that knows its address."""
    with (
        front_end(settings) as url,
        httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as made,
    ):
        yield made


def make_settings(data_dir: Path, redis_url: str, models_dir: Path, **changes: object) -> Settings:
    """Settings of a front end with a database of its own."""
    values: dict[str, object] = {
        "data_dir": data_dir,
        "redis_url": redis_url,
        "models_dir": models_dir,
    }
    return Settings(**(values | changes))


def add_scores(
    database: Database,
    stream_id: str,
    scores: Sequence[float | None],
    *,
    first: int = 0,
    started_at: float | None = None,
    threshold: float = 0.5,
) -> None:
    """Write scores as the recorder would, ten a second."""
    started_at = time.time() - len(scores) / 10 if started_at is None else started_at
    with database.write() as session:
        session.add_all(
            ScoreRow(
                stream_id=stream_id,
                frame=first + place,
                epoch=1,
                captured_at=started_at + place / 10,
                scored_at=started_at + place / 10 + 0.05,
                psnr=None if score is None else 30.0,
                distance=None if score is None else 0.01,
                gate_error=None if score is None else 0.002,
                score=score,
                threshold=threshold,
                memory_updated=score is not None and score < threshold,
                state="warming" if score is None else "live",
            )
            for place, score in enumerate(scores)
        )


def add_messages(database: Database, hook: str, *states: str, due: float = FUTURE) -> None:
    """Messages `msg_0` and so on of a webhook."""
    with database.write() as session:
        for number, state in enumerate(states):
            session.add(
                DeliveryRow(
                    id=f"msg_{number}",
                    sequence=number,
                    receiver_id=hook,
                    stream_id="cam",
                    event_type="event.started",
                    body="{}",
                    state=state,
                    attempts=1,
                    next_attempt_at=due,
                    # Two at a time: pages must not hide either.
                    created_at=FUTURE + number // 2,
                )
            )


def add_event(
    database: Database,
    stream_id: str,
    ident: str,
    started_at: float,
    *,
    ended_at: float | None = None,
    picture: bytes | None = None,
) -> None:
    """Write an event as the recorder would."""
    with database.write() as session:
        session.add(
            EventRow(
                id=ident,
                stream_id=stream_id,
                started_at=started_at,
                ended_at=ended_at,
                first_frame=10,
                last_frame=20,
                peak_score=0.91,
                peak_frame=14,
                threshold=0.5,
                region=[0.1, 0.2, 0.5, 0.6],
                picture=picture,
            )
        )
