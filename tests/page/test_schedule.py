"""Armed hours on the page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
from playwright.sync_api import Browser, expect

from tests.page.scene import Scene


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
