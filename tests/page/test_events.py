"""Events on the page: their pictures and clips, and what somebody says of them."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
from playwright.sync_api import Browser, expect
from sqlalchemy import update

from service.media.clip import encode_clip
from service.media.shelf import FOLDER, MediaKind, Shelf
from service.settings import Settings
from service.store.tables import EventRow
from tests.media.shots import shot
from tests.page.scene import Scene, shoot
from tests.support.clips import encoded


def test_heat_events_and_themes(scene: Scene, browser: Browser) -> None:
    page = scene.open(browser, dark=True)
    page.goto(scene.url)
    expect(page.locator("#picture")).to_be_visible()
    with page.expect_response(lambda answer: "heat=true" in answer.url) as answer:
        page.get_by_label("Heat map").check()
    assert answer.value.status == 200
    shoot(page, "desktop-dark")
    page.locator(".event").nth(1).click()
    expect(page.locator("#event-dialog")).to_be_visible()
    expect(page.locator("#event-region")).to_be_visible()
    shoot(page, "event")
    page.locator("#event-dialog").get_by_role("button", name="Close").click()
    expect(page.locator("#event-dialog")).to_be_hidden()
    page.close()


def test_an_event_is_shown_with_its_peak_and_its_clip(
    scene: Scene, browser: Browser, settings: Settings
) -> None:
    shots = [shot(frame, image=encoded(width=320, height=240)) for frame in range(15)]
    files = {
        MediaKind.PEAK: shots[7].jpeg,
        MediaKind.HEAT: encoded(width=160, height=120),
    }
    shelf, now = Shelf(settings.data_dir / FOLDER, scene.database), time.time()
    shelf.put("past", files, now)
    shelf.put("past", {MediaKind.CLIP: encode_clip(shots, 10.0)}, now)
    shelf.put("open", {MediaKind.PEAK: files[MediaKind.HEAT]}, now)
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
    shoot(page, "event-clip")
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
    shoot(page, "review")
    pressed.click()
    expect(pressed).to_have_attribute("aria-pressed", "false")
    expect(row.locator("[aria-pressed=true]")).to_have_count(0)
    found = httpx.get(f"{scene.url}/events/past").json()
    assert (found["label"], found["labelled_at"]) == (None, None)
    page.locator("#event-dialog").get_by_role("button", name="Close").click()
    normal.click()
    rows, which = page.locator("#events li"), page.get_by_label("Which events")
    which.select_option("Normal")
    expect(rows).to_have_count(1)
    expect(rows.locator(".muted-tag")).to_be_visible()
    which.select_option("Unreviewed")
    expect(rows).to_have_count(1)
    expect(rows.locator(".muted-tag")).to_be_hidden()
    which.select_option("Real")
    expect(rows).to_have_count(0)
    expect(page.locator("#no-events")).to_have_text("No such events.")
    page.close()
