"""The page in a real browser, on a real front end."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from pytest_httpserver import HTTPServer
from redis import Redis
from sqlalchemy import update

from service.bus.registry import Preview, Registry
from service.media.clip import write_clip
from service.media.kinds import Kind
from service.media.shelf import FOLDER, NewFile, Shelf
from service.messages import StreamState, StreamStatus, WorkerStatus
from service.settings import Settings
from service.store.database import Database
from service.store.tables import DeliveryRow, EventRow, StreamLogRow
from tests.media.shots import shot
from tests.support.clips import encoded, picture
from tests.support.front_end import add_event, add_scores, front_end, make_settings
from tests.support.servers import RedisServer, wait_for

CHROMIUM = shutil.which("chromium")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SHOTS = os.environ.get("NORMWATCH_TEST_SHOTS")
"""A folder for pictures of the page, for whoever wants to look."""
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
COUNT_ALARM_PIXELS = """() => {
  const canvas = document.querySelector("#curve");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const count = (wanted) => {
    let found = 0;
    for (let i = 0; i < data.length; i += 4)
      if (wanted.every((value, part) => Math.abs(data[i + part] - value) < 24) && data[i + 3] > 200)
        found += 1;
    return found;
  };
  return { calm: count([11, 122, 117]), alarm: count([196, 49, 43]) };
}"""


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
        )
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._heard)
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is missing, and CI must have it")
        pytest.skip("chromium is missing on this machine")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield made
        made.close()


@pytest.fixture
def settings(
    tmp_path: Path, valkey_server: RedisServer, redis: Redis, models_dir: Path
) -> Settings:
    """An empty service."""
    redis.ping()
    return make_settings(tmp_path, valkey_server.url, models_dir)


@pytest.fixture
def scene(settings: Settings, redis: Redis) -> Iterator[Scene]:
    """A live upload stream with scores, events and a preview, and a second, quiet one."""
    database = Database(settings.database)
    with front_end(settings) as url:
        body = {"name": "Loading bay", "source": "upload"}
        stream_id = httpx.post(f"{url}/streams", json=body).json()["id"]
        quiet = {"name": "Stairwell <b>north</b>", "source": "rtsp://u:geheim@127.0.0.1:9/s"}
        httpx.post(f"{url}/streams", json=quiet)
        _fill(database, redis, stream_id)
        made = Scene(url, database, redis, stream_id)
        yield made
    database.close()
    assert made.faults == []


def _fill(database: Database, redis: Redis, stream_id: str) -> None:
    places = np.arange(400)
    noise = np.random.default_rng(0).normal(0, 0.015, len(places))
    scores = 0.18 + 0.05 * np.sin(places / 17) + noise
    scores[250:310] += 0.55 * np.sin(np.pi * np.arange(60) / 60)
    known: list[float | None] = [float(score) for score in scores]
    add_scores(database, stream_id, [None] * 4 + known[4:])
    large = cv2.resize(picture(3), (640, 480), interpolation=cv2.INTER_NEAREST)
    jpeg = bytes(cv2.imencode(".jpg", large)[1].tobytes())
    now = time.time()
    add_event(database, stream_id, "past", now - 400, ended_at=now - 392.5, snapshot=jpeg)
    add_event(database, stream_id, "open", now - 3, snapshot=jpeg)
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


def _shoot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=name.startswith("phone"))


def test_a_camera_is_shown_with_picture_curve_and_events(scene: Scene, browser: Browser) -> None:
    page = scene.open(browser)
    page.goto(scene.url)
    expect(page.locator(".camera")).to_have_count(2)
    expect(page.locator(".camera").first).to_contain_text("Loading bay")
    expect(page.locator(".camera").first).to_contain_text("abnormal")
    expect(page.locator("#summary")).to_contain_text("1 of 2 live")
    # A name is text, whatever stands in it; an address has no password.
    expect(page.locator(".camera .name").nth(1)).to_have_text("Stairwell <b>north</b>")
    assert "geheim" not in page.content()
    expect(page.locator("#detail-name")).to_have_text("Loading bay")
    expect(page.locator("#picture")).to_be_visible()
    assert page.locator("#picture").evaluate("image => image.decode().then(() => true)")
    expect(page.locator("#readout")).to_contain_text("frame 399")
    drawn = page.evaluate(COUNT_ALARM_PIXELS)
    assert drawn["calm"] > 200, "the curve below the threshold"
    assert drawn["alarm"] > 60, "the curve above it, and the threshold line"
    expect(page.locator(".event")).to_have_count(2)
    expect(page.locator(".event").first).to_contain_text("Now, peak 0.91")
    expect(page.locator(".event").nth(1)).to_contain_text("7.5 s")
    page.wait_for_function("document.querySelector('.thumb').naturalWidth > 0")
    _shoot(page, "desktop-light")
    page.close()


def test_zones_are_outlined_where_they_lie_in_the_picture(scene: Scene, browser: Browser) -> None:
    half = [[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]
    zones = [{"kind": "ignore", "points": half}]
    path = f"{scene.url}/streams/{scene.stream_id}"
    assert httpx.patch(path, json={"zones": zones}).is_success
    page = scene.open(browser)
    page.goto(scene.url)
    outline = page.locator("#zones polygon")
    expect(outline).to_have_attribute("data-kind", "ignore")
    frame, drawn = page.locator("#picture").bounding_box(), outline.bounding_box()
    assert frame is not None and drawn is not None
    width = frame["height"] * 640 / 480  # the picture is fitted into its frame
    middle = frame["x"] + frame["width"] / 2
    found = (drawn["x"], drawn["y"], drawn["width"], drawn["height"])
    assert found == pytest.approx((middle, frame["y"], width / 2, frame["height"]), abs=4)
    _shoot(page, "zones")
    assert httpx.patch(path, json={"zones": None}).is_success
    expect(outline).to_have_count(0)
    page.close()


def test_a_camera_that_is_not_watched_says_why_since_when_and_what_came_before(
    scene: Scene, browser: Browser
) -> None:
    now = time.time()
    with scene.database.write() as session:
        for place, (kind, state, reason) in enumerate(
            (
                ("state", "live", ""),
                ("scene.changed", "warming", "the picture became dark at once"),
                ("state", "obscured", "covered <b>or</b> turned"),
                ("stream.down", "obscured", "covered <b>or</b> turned"),
            )
        ):
            row = StreamLogRow(
                stream_id=scene.stream_id,
                kind=kind,
                at=now - 60 + place,
                state=state,
                reason=reason,
                worker="w",
            )
            session.add(row)
            session.flush()
    status = StreamStatus(
        state=StreamState.OBSCURED, reason="covered <b>or</b> turned", since=now - 57
    )
    worker = WorkerStatus(id="w", started_at=now, seen_at=now, streams=1, device="cpu")
    Registry(scene.redis).report({scene.stream_id: status}, worker)
    page = scene.open(browser)
    page.goto(scene.url)
    expect(page.locator(".camera").first).to_contain_text("obscured · covered <b>or</b> turned")
    expect(page.locator("#detail-reason")).to_have_text("covered <b>or</b> turned")
    figures = page.locator("#figures")
    expect(figures).to_contain_text("obscured")
    since = page.evaluate(
        "at => new Intl.DateTimeFormat(undefined, {timeStyle: 'medium'}).format(new Date(at))",
        1000 * (now - 57),
    )
    expect(figures).to_contain_text(since)
    expect(page.locator("#picture")).to_be_visible()
    expect(page.locator("#log li")).to_have_count(4)
    texts = page.locator("#log .what").all_text_contents()
    assert texts == ["outage told", "obscured", "light changed", "live"]
    expect(page.locator("#log .why").first).to_have_text("covered <b>or</b> turned")
    page.locator(".camera").nth(1).click()
    expect(page.locator("#log-card")).to_be_hidden()
    page.locator(".camera").first.click()
    expect(page.locator("#log li")).to_have_count(4)
    _shoot(page, "log")
    page.close()


def test_scores_come_live(scene: Scene, browser: Browser) -> None:
    page = scene.open(browser)
    page.goto(scene.url)
    expect(page.locator("#readout")).to_contain_text("frame 399")
    add_scores(scene.database, scene.stream_id, [0.123], first=400)
    expect(page.locator("#readout")).to_contain_text("0.123 · frame 400")
    page.close()


def test_heat_events_and_themes(scene: Scene, browser: Browser) -> None:
    page = scene.open(browser, dark=True)
    page.goto(scene.url)
    expect(page.locator("#picture")).to_be_visible()
    with page.expect_response(lambda answer: "heat=true" in answer.url) as answer:
        page.get_by_label("Heat map").check()
    assert answer.value.status == 200
    _shoot(page, "desktop-dark")
    page.locator(".event").nth(1).click()
    expect(page.locator("#event-dialog")).to_be_visible()
    expect(page.locator("#event-region")).to_be_visible()
    _shoot(page, "event")
    page.locator("#event-dialog").get_by_role("button", name="Close").click()
    expect(page.locator("#event-dialog")).to_be_hidden()
    page.close()


def test_an_event_is_shown_with_its_peak_and_its_clip(
    scene: Scene, browser: Browser, settings: Settings
) -> None:
    shots = [shot(frame, image=encoded(width=320, height=240)) for frame in range(15)]
    files = {
        Kind.PEAK: shots[7].jpeg,
        Kind.HEAT: encoded(width=160, height=120),
    }
    shelf, now = Shelf(settings.data_dir / FOLDER, scene.database), time.time()
    shelf.put("past", [NewFile(kind, partial(_write, data)) for kind, data in files.items()], now)
    clip = partial(write_clip, shots=shots, usual_fps=10.0)
    shelf.put("past", [NewFile(Kind.CLIP, clip)], now)
    shelf.put("open", [NewFile(Kind.PEAK, partial(_write, files[Kind.HEAT]))], now)
    page = scene.open(browser)
    page.goto(scene.url)
    page.locator(".event").nth(1).click()
    video, image = page.locator("#event-clip"), page.locator("#event-picture")
    expect(video).to_be_visible()
    assert video.evaluate("video => video.videoWidth") == 320
    assert 1.0 < video.evaluate("video => video.duration") < 2.0
    expect(image).to_have_js_property("naturalWidth", 320)
    page.locator("#event-dialog .switch").click()
    expect(image).to_have_js_property("naturalWidth", 160)
    _shoot(page, "event-clip")
    page.locator("#event-dialog").get_by_role("button", name="Close").click()
    expect(page.locator("#event-dialog")).to_be_hidden()
    page.locator(".event").first.click()
    expect(image).to_have_js_property("naturalWidth", 160)
    expect(image).to_be_visible()
    expect(video).to_be_hidden()
    expect(page.locator("#event-dialog .switch")).to_be_hidden()
    page.close()


def _write(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def test_an_event_is_judged_in_the_list_and_in_its_dialog(scene: Scene, browser: Browser) -> None:
    with scene.database.write() as session:
        session.execute(update(EventRow).where(EventRow.id == "past").values(muted=True))
    page = scene.open(browser)
    page.goto(scene.url)
    row = page.locator("#events li").nth(1)
    expect(row).to_contain_text("muted")
    normal, real = (row.get_by_role("button", name=name, exact=True) for name in ("Normal", "Real"))
    expect(normal).to_have_attribute("aria-pressed", "false")
    normal.click()
    expect(normal).to_have_attribute("aria-pressed", "true")
    assert httpx.get(f"{scene.url}/events/past").json()["label"] == "normal"
    real.click()
    expect(real).to_have_attribute("aria-pressed", "true")
    expect(normal).to_have_attribute("aria-pressed", "false")
    row.locator(".event").click()
    pressed = page.locator("#event-dialog").get_by_role("button", name="Real", exact=True)
    expect(pressed).to_have_attribute("aria-pressed", "true")
    _shoot(page, "review")
    pressed.click()
    expect(pressed).to_have_attribute("aria-pressed", "false")
    expect(row.locator("[aria-pressed=true]")).to_have_count(0)
    found = httpx.get(f"{scene.url}/events/past").json()
    assert (found["label"], found["labelled_at"]) == (None, None)
    page.close()


def test_a_camera_that_is_not_armed_says_so(scene: Scene, browser: Browser) -> None:
    day = f"{datetime.now(UTC) + timedelta(days=3):%a}".lower()
    hours = [{"days": [day], "from": "08:00", "to": "09:00"}]
    url = f"{scene.url}/streams/{scene.stream_id}"
    httpx.patch(url, json={"schedule": {"timezone": "UTC", "hours": hours}}).raise_for_status()
    page = scene.open(browser)
    page.goto(scene.url)
    expect(page.locator(".camera").first).to_contain_text("live · 10.0 frames/s · not armed")
    httpx.patch(url, json={"schedule": None}).raise_for_status()
    expect(page.locator(".camera").first).not_to_contain_text("not armed")
    page.close()


def test_a_camera_is_added_paused_and_deleted(scene: Scene, browser: Browser) -> None:
    page = scene.open(browser)
    page.goto(scene.url)
    page.get_by_role("button", name="Add camera").first.click()
    dialog = page.locator("#add-dialog")
    dialog.get_by_label("Name").fill("Front door")
    dialog.get_by_text("Uploads").click()
    # The user's own comes first, and is chosen; the shipped ones follow.
    expect(dialog.locator("option").first).to_have_text("small (64×64, grey)")
    expect(dialog.locator("option:checked")).to_have_text("small (64×64, grey)")
    _shoot(page, "add")
    dialog.get_by_role("button", name="Add camera").click()
    expect(page.locator("#detail-name")).to_have_text("Front door")
    expect(page.locator("#detail-source")).to_contain_text("/frames")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(page.locator(".camera").nth(2)).to_contain_text("paused")
    page.locator("#threshold").fill("0.8")
    page.get_by_role("button", name="Set").click()
    found = httpx.get(f"{scene.url}/streams").json()["items"][2]
    expect(page.locator("#threshold")).to_have_value("0.8")
    page.wait_for_function("document.querySelector('#threshold').placeholder === '0.80'")
    found = httpx.get(f"{scene.url}/streams/{found['id']}").json()
    assert (found["threshold"], found["paused"]) == (0.8, True)
    page.get_by_role("button", name="Delete").click()
    page.locator("#delete-dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".camera")).to_have_count(2)
    assert len(httpx.get(f"{scene.url}/streams").json()["items"]) == 2
    page.close()


def test_what_is_wrong_is_said_at_its_field(scene: Scene, browser: Browser) -> None:
    page = scene.open(browser)
    page.goto(scene.url)
    page.get_by_role("button", name="Add camera").first.click()
    dialog = page.locator("#add-dialog")
    dialog.get_by_label("Address").fill("ftp://camera/")
    dialog.get_by_label("Name").fill("x")
    dialog.get_by_role("button", name="Add camera").click()
    expect(dialog.locator("[data-field=source]")).to_contain_text("schemes")
    dialog.get_by_role("button", name="Cancel").click()
    # The browser itself reports answers of 4xx; that is what this test provoked.
    assert [fault for fault in scene.faults if "422" not in fault] == []
    scene.faults.clear()
    page.close()


def test_webhooks_are_tested_and_their_dead_letters_sent_again(
    settings: Settings, browser: Browser, redis: Redis, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook", method="POST").respond_with_data("thanks", 202)
    allowing = settings.model_copy(update={"allow_private_webhooks": True})
    database = Database(allowing.database)
    with front_end(allowing) as url:
        scene = Scene(url, database, redis, "")
        body = {"url": httpserver.url_for("/hook"), "name": "On <b>call</b>"}
        hook = httpx.post(f"{url}/webhooks", json=body).json()["id"]
        httpx.patch(f"{url}/webhooks/{hook}", json={"enabled": False})
        with database.write() as session:
            session.add(
                DeliveryRow(
                    id="msg_1",
                    sequence=1,
                    webhook_id=hook,
                    stream_id="cam",
                    event_type="event.started",
                    body="{}",
                    state="dead",
                    next_attempt_at=0.0,
                    created_at=time.time(),
                )
            )
        page = scene.open(browser)
        page.goto(url)
        page.get_by_role("button", name="Webhooks").click()
        dialog = page.locator("#webhooks-dialog")
        expect(dialog.locator(".name")).to_have_text("On <b>call</b>")
        expect(dialog).to_contain_text("off: it was switched off · 1 not delivered")
        dialog.get_by_role("button", name="Test").click()
        expect(dialog.locator(".result")).to_contain_text("Taken: 202 after")
        dialog.get_by_role("button", name="Switch on").click()
        _shoot(page, "webhooks")
        dialog.get_by_role("button", name="Send 1 again").click()
        expect(dialog.get_by_role("button", name="Send 1 again")).to_be_hidden()
        dialog.get_by_role("button", name="Close").click()
        expect(dialog).to_be_hidden()
        page.close()
        assert scene.faults == []

        def came() -> bool:
            return any(request.headers["webhook-id"] == "msg_1" for request, _ in httpserver.log)

        wait_for(came, "the dead letter")
    database.close()


def test_on_a_phone_nothing_is_wider_than_the_screen(scene: Scene, browser: Browser) -> None:
    page = scene.open(browser, phone=True)
    page.goto(scene.url)
    expect(page.locator("#readout")).to_contain_text("frame 399")
    expect(page.locator("#picture")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    _shoot(page, "phone")
    page.close()


def test_an_api_key_is_asked_for_and_kept_in_the_tab(
    settings: Settings, browser: Browser, redis: Redis
) -> None:
    locked = Settings(**(settings.model_dump() | {"api_keys": "open-sesame"}))
    key = {"X-API-Key": "open-sesame"}
    with front_end(locked) as url:
        body = {"name": "Behind the door", "source": "upload"}
        made = httpx.post(f"{url}/streams", json=body, headers=key).json()
        database = Database(locked.database)
        _fill(database, redis, made["id"])
        scene = Scene(url, database, redis, made["id"])
        page = scene.open(browser)
        page.goto(url)
        dialog = page.locator("#key-dialog")
        dialog.get_by_label("Key").fill("wrong")
        dialog.get_by_role("button", name="Continue").click()
        expect(dialog.get_by_role("alert")).to_contain_text("not known")
        dialog.get_by_label("Key").fill("open-sesame")
        dialog.get_by_role("button", name="Continue").click()
        expect(page.locator("#detail-name")).to_have_text("Behind the door")
        expect(page.locator("#picture")).to_be_visible()
        add_scores(database, made["id"], [0.321], first=400)
        expect(page.locator("#readout")).to_contain_text("0.321 · frame 400")
        page.reload()
        expect(page.locator("#detail-name")).to_have_text("Behind the door")
        expect(dialog).to_be_hidden()
        assert [fault for fault in scene.faults if "401" not in fault] == []
        page.close()
        database.close()
