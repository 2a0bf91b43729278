"""Zones on the picture: shown, and drawn by pointer and by keys."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.page.scene import Scene, shoot


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
    shoot(page, "zones")
    assert httpx.patch(path, json={"zones": None}).is_success
    expect(outline).to_have_count(0)
    page.close()
