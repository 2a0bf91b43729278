"""Zones on the picture: shown, and drawn by pointer and by keys."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from typing import NamedTuple

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from service.bus.registry import Registry
from service.messages import StreamState, StreamStatus, WorkerStatus
from tests.page.scene import PHONE, Scene, shoot

ON_SCREEN = """([x, y]) => {
  const { naturalWidth, naturalHeight } = document.querySelector("#picture");
  const matrix = document.querySelector("#zones").getScreenCTM();
  const point = new DOMPoint(x * naturalWidth, y * naturalHeight).matrixTransform(matrix);
  return [point.x, point.y];
}"""
SHAPE = [(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8)]


class Spot(NamedTuple):
    """Return where a share of the picture is on the screen."""

    x: float
    y: float


def _at(page: Page, share: Sequence[float]) -> Spot:
    x, y = page.evaluate(ON_SCREEN, list(share))
    return Spot(x, y)


def _open_editor(scene: Scene, browser: Browser, *, phone: bool = False) -> Page:
    page = scene.open(browser, phone=phone)
    page.goto(scene.url)
    expect(page.locator("#picture")).to_be_visible()
    page.get_by_role("button", name="Edit zones").click()
    expect(page.locator("#zone-editor")).to_be_visible()
    return page


def _saved(scene: Scene) -> list[dict[str, object]] | None:
    found: list[dict[str, object]] | None = httpx.get(
        f"{scene.url}/streams/{scene.stream_id}"
    ).json()["zones"]
    return found


def _near(points: object, shape: Sequence[Sequence[float]]) -> bool:
    return points == [pytest.approx(list(corner), abs=0.006) for corner in shape]


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


def test_a_zone_is_drawn_changed_and_saved_with_a_pointer(scene: Scene, browser: Browser) -> None:
    page = _open_editor(scene, browser)
    for share in SHAPE:
        page.mouse.click(*_at(page, share))
    expect(page.locator("#zones circle")).to_have_count(4)
    page.mouse.click(*_at(page, SHAPE[0]))  # closes the outline
    outline = page.locator("#zones polygon")
    expect(outline).to_have_attribute("data-kind", "watch")
    page.get_by_label("Ignore").check()
    expect(outline).to_have_attribute("data-kind", "ignore")
    _drag(page, SHAPE[2], (0.7, 0.6))
    _drag(page, (0.5, 0.2), (0.5, 0.1))  # a side gets another corner
    _drag(page, SHAPE[3], (0.001, 0.8))  # so near, it lies on the edge
    expect(page.locator("#zones circle")).to_have_count(5)
    shoot(page, "zone-editor")
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#zones circle")).to_have_count(4)
    page.get_by_role("button", name="Save zones").click()
    expect(page.locator("#zone-editor")).to_be_hidden()
    (zone,) = _saved(scene) or []
    assert zone["kind"] == "ignore"
    assert _near(zone["points"], [SHAPE[0], SHAPE[1], (0.7, 0.6), SHAPE[3]])
    # What is saved is shown, and can be deleted.
    expect(outline).to_have_attribute("data-kind", "ignore")
    page.get_by_role("button", name="Edit zones").click()
    page.get_by_role("button", name="Delete zone").click()
    page.get_by_role("button", name="Cancel").click()
    expect(outline).to_have_count(1)
    page.get_by_role("button", name="Edit zones").click()
    page.get_by_role("button", name="Delete zone").click()
    page.get_by_role("button", name="Save zones").click()
    expect(outline).to_have_count(0)
    assert _saved(scene) is None
    page.close()


def _drag(page: Page, start: Sequence[float], end: Sequence[float]) -> None:
    page.mouse.move(*_at(page, start))
    page.mouse.down()
    page.mouse.move(*_at(page, end), steps=4)
    page.mouse.up()


def test_zones_can_be_made_with_keys_alone(scene: Scene, browser: Browser) -> None:
    page = scene.open(browser)
    page.goto(scene.url)
    expect(page.locator("#picture")).to_be_visible()
    keys = page.keyboard
    page.get_by_role("button", name="Edit zones").focus()
    keys.press("Enter")
    expect(page.get_by_role("button", name="Add corner")).to_be_focused()
    for corners in range(1, 5):
        page.get_by_role("button", name="Add corner").focus()
        keys.press("Enter")
        corner = page.locator("#zones circle").nth(corners - 1)
        expect(corner).to_be_focused()
    keys.press("Enter")  # closes the outline
    corner = page.get_by_role("button", name="Corner 1 of 4: 30.0 % from the left")
    expect(corner).to_be_focused()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowUp"):
        keys.press(key)
    name = "Corner 1 of 4: 31.0 % from the left, 25.0 % from the top"
    expect(page.get_by_role("button", name=name)).to_be_focused()
    keys.press("Control+z")
    keys.press("Control+z")  # moves of one corner are one step; the other was its closing
    expect(page.get_by_role("button", name="Close outline")).to_be_visible()
    page.get_by_role("button", name="Close outline").focus()
    keys.press("Enter")
    page.get_by_role("button", name="Corner 4 of 4").focus()
    keys.press("Delete")
    expect(page.get_by_role("button", name="Corner 3 of 3")).to_be_focused()
    expect(page.get_by_role("button", name="Delete corner")).to_be_disabled()
    page.get_by_role("button", name="Add rectangle").focus()
    keys.press("Enter")
    unnamed = re.findall(r"- (?:button|radio|spinbutton|textbox)(?![^\n]*\")[^\n]*", _tree(page))
    assert unnamed == []
    page.get_by_role("button", name="Save zones").focus()
    keys.press("Enter")
    expect(page.get_by_role("button", name="Edit zones")).to_be_focused()
    first, second = _saved(scene) or []
    assert first == {"kind": "watch", "points": [[0.3, 0.3], [0.7, 0.3], [0.7, 0.7]]}
    assert second["points"] == [[0.35, 0.35], [0.65, 0.35], [0.65, 0.65], [0.35, 0.65]]
    page.close()


def _tree(page: Page) -> str:
    tree = page.locator("#detail").aria_snapshot()
    assert 'button "Save zones"' in tree
    return tree


def test_zones_are_drawn_by_touch_on_a_phone(scene: Scene, browser: Browser) -> None:
    page = _open_editor(scene, browser, phone=True)
    for share in SHAPE:
        page.touchscreen.tap(*_at(page, share))
    page.get_by_role("button", name="Close outline").tap()
    page.locator("#zones").scroll_into_view_if_needed()
    scrolled = page.evaluate("scrollY")
    touch = page.context.new_cdp_session(page)
    start, end = _at(page, SHAPE[1]), _at(page, (0.6, 0.5))
    for kind, spots in (
        # A finger is less exact than a mouse.
        ("touchStart", [Spot(start.x + 12, start.y - 8)]),
        ("touchMove", [Spot((start.x + end.x) / 2, (start.y + end.y) / 2)]),
        ("touchMove", [end]),
        ("touchEnd", []),
    ):
        if kind == "touchEnd":
            # A finger that is lifted in full swing is followed by a fling, which eats the next tap.
            page.wait_for_timeout(400)
        points = [{"x": spot.x, "y": spot.y} for spot in spots]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert page.evaluate("scrollY") == scrolled
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    shoot(page, "phone-zones")
    page.get_by_role("button", name="Save zones").tap()
    expect(page.locator("#zone-editor")).to_be_hidden()
    (zone,) = _saved(scene) or []
    assert _near(zone["points"], [SHAPE[0], (0.6, 0.5), SHAPE[2], SHAPE[3]])
    page.close()


def test_what_is_wrong_with_a_zone_is_said_and_nothing_is_lost(
    scene: Scene, browser: Browser
) -> None:
    page = _open_editor(scene, browser)
    page.mouse.click(*_at(page, SHAPE[0]))
    save = page.get_by_role("button", name="Save zones")
    save.click()
    error = page.locator("#zone-error")
    expect(error).to_contain_text("at least 3 corners")
    for share in (SHAPE[2], SHAPE[1]):
        page.mouse.click(*_at(page, share))
    page.mouse.dblclick(*_at(page, SHAPE[3]))  # closes the outline; its sides cross
    expect(page.locator("#zones circle")).to_have_count(4)
    page.get_by_role("button", name="Add rectangle").click()
    save.click()
    expect(error).to_contain_text("Zone 1, points: must enclose at least")
    expect(page.get_by_role("button", name="Zone 1, watch")).to_have_attribute(
        "aria-pressed", "true"
    )
    assert _saved(scene) is None
    path = f"{scene.url}/streams/{scene.stream_id}"
    httpx.patch(path, json={"zones": [{"kind": "watch", "points": SHAPE}]}).raise_for_status()
    expect(page.locator("#zone-notice")).to_contain_text("Somebody else changed the zones")
    # Another camera isn't shown before somebody agrees that the zones are lost.
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.locator(".camera").nth(1).click()
    expect(page.locator("#zones polygon")).to_have_count(2)
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator(".camera").nth(1).click()
    expect(page.locator("#zone-editor")).to_be_hidden()
    page.get_by_role("button", name="Edit zones").click()
    expect(page.locator("#zones-error")).to_contain_text("no picture of this camera yet")
    assert [fault for fault in scene.faults if "422" not in fault and "404" not in fault] == []
    scene.faults.clear()
    page.close()


def test_without_a_preview_zones_lie_on_the_newest_event_and_only_so_many(
    scene: Scene, browser: Browser
) -> None:
    ring = [(0.5 + 0.4 * math.cos(i / 8), 0.5 + 0.4 * math.sin(i / 8)) for i in range(50)]
    zones = [{"kind": "ignore", "points": ring}, *[{"kind": "watch", "points": SHAPE}] * 19]
    path = f"{scene.url}/streams/{scene.stream_id}"
    httpx.patch(path, json={"zones": zones}).raise_for_status()
    now = time.time()
    worker = WorkerStatus(id="w", started_at=now, seen_at=now, streams=1, device="cpu")
    status = StreamStatus(state=StreamState.PAUSED, since=now)
    Registry(scene.redis).report({scene.stream_id: status}, worker)
    page = scene.open(browser)
    page.goto(scene.url)
    expect(page.locator("#no-picture")).to_be_visible()
    page.get_by_role("button", name="Edit zones").click()
    expect(page.locator("#picture-time")).to_contain_text("as of")
    expect(page.locator("#picture")).to_have_js_property("naturalWidth", 640)
    expect(page.locator("#zones circle")).to_have_count(50)
    for name in ("Add corner", "Draw zone", "Add rectangle"):
        expect(page.get_by_role("button", name=name)).to_be_disabled()
    page.get_by_role("button", name="Zone 20, watch, 4 corners").click()
    page.get_by_role("button", name="Add corner").click()
    expect(page.locator("#zones circle")).to_have_count(5)
    page.get_by_role("button", name="Delete zone").click()
    expect(page.get_by_role("button", name="Draw zone")).to_be_enabled()
    page.close()
