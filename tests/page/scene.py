"""A camera with something to show, and tabs that look at it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Browser, ConsoleMessage, Page
from redis import Redis

from service.bus.registry import Preview, Registry
from service.messages import StreamState, StreamStatus, WorkerStatus
from service.store.database import Database
from tests.support.clips import picture
from tests.support.front_end import add_event, add_scores

SHOTS = os.environ.get("NORMWATCH_TEST_SHOTS")
"""A folder for pictures of the page, to look at."""
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 375, "height": 812}


@dataclass
class Scene:
    """A front end with a camera that has something to show."""

    url: str
    database: Database
    redis: Redis
    stream_id: str
    faults: list[str] = field(default_factory=list)
    """What the browser complained of."""

    def open(self, browser: Browser, *, dark: bool = False, phone: bool = False) -> Page:
        """A new tab, which records complaints."""
        page = browser.new_page(
            viewport=PHONE if phone else DESKTOP,
            color_scheme="dark" if dark else "light",
            device_scale_factor=1,
            has_touch=phone,
        )
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._log_console)
        return page

    def _log_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.text} {message.location['url']}")


def fill(database: Database, redis: Redis, stream_id: str) -> None:
    """Scores, two events, a preview with its heat, and a worker's word that it is live."""
    places = np.arange(400)
    noise = np.random.default_rng(0).normal(0, 0.015, len(places))
    scores = 0.18 + 0.05 * np.sin(places / 17) + noise
    scores[250:310] += 0.55 * np.sin(np.pi * np.arange(60) / 60)
    known: list[float | None] = [float(score) for score in scores]
    add_scores(database, stream_id, [None] * 4 + known[4:])
    large = cv2.resize(picture(3), (640, 480), interpolation=cv2.INTER_NEAREST)
    jpeg = bytes(cv2.imencode(".jpg", large)[1].tobytes())
    now = time.time()
    add_event(database, stream_id, "past", now - 400, ended_at=now - 392.5, picture=jpeg)
    add_event(database, stream_id, "open", now - 3, picture=jpeg)
    heat = np.zeros((16, 16), np.uint8)
    heat[4:9, 3:8] = 255
    registry = Registry(redis)
    registry.put_preview(
        stream_id, Preview(jpeg, bytes(cv2.imencode(".png", heat)[1].tobytes()), 399, now)
    )
    status = StreamStatus(
        state=StreamState.LIVE, since=now - 60, scored=396, captured=400, fps=10.0, frame_age_s=0.2
    )
    worker = WorkerStatus(id="w", started_at=now, seen_at=now, streams=1, device="cpu")
    registry.report({stream_id: status}, worker)


def find_axe_faults(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is, for people who can't see or point."""
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = page.evaluate("axe.run().then(({ violations }) => violations)")
    return [f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in found]


def shoot(page: Page, name: str) -> None:
    """A picture of the page as it is, if somebody wants to look."""
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=name.startswith("phone"))
