"""Armed hours on the page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
from playwright.sync_api import Browser, expect

from tests.page.scene import Scene, shoot


def test_a_camera_that_is_not_armed_says_so(scene: Scene, browser: Browser) -> None:
    day = f"{datetime.now(UTC) + timedelta(days=3):%a}".lower()
    hours = [{"days": [day], "from": "08:00", "to": "09:00"}]
    url = f"{scene.url}/streams/{scene.stream_id}"
    httpx.patch(url, json={"schedule": {"timezone": "UTC", "hours": hours}}).raise_for_status()
    page = scene.open(browser)
    page.goto(scene.url)
    expect(page.locator(".camera").first).to_contain_text("live · 10.0 frames/s · not armed")
    expect(page.locator("#armed")).to_have_text("not armed now")
    httpx.patch(url, json={"schedule": None}).raise_for_status()
    expect(page.locator(".camera").first).not_to_contain_text("not armed")
    page.close()


def test_armed_hours_are_edited_with_their_zone(scene: Scene, browser: Browser) -> None:
    path = f"{scene.url}/streams/{scene.stream_id}"
    page = scene.open(browser)
    page.goto(scene.url)
    expect(page.locator("#armed")).to_have_text("armed now")
    expect(page.locator("#schedule-hours")).to_have_text("Always")
    page.get_by_role("button", name="Edit hours").click()
    form = page.locator("#schedule-form")
    form.get_by_text("At these hours").click()
    form.get_by_label("Time zone").fill("Europe/Nowhere")
    first = form.get_by_role("group", name="Hours 1")
    first.get_by_label("Friday").uncheck()
    expect(first).to_contain_text("the next day")
    form.get_by_role("button", name="Add hours").click()
    second = form.get_by_role("group", name="Hours 2")
    for day in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"):
        second.get_by_label(day).uncheck()
    second.get_by_label("From").fill("00:00")
    second.get_by_label("to", exact=True).fill("00:00")
    expect(second).to_contain_text("all day")
    save = form.get_by_role("button", name="Save hours")
    save.click()
    expect(form.locator("[data-field='schedule.timezone']")).to_contain_text("no such time zone")
    form.get_by_label("Time zone").fill("Europe/Berlin")
    save.click()
    expect(form.locator("[data-field='schedule.hours[1]']")).to_contain_text("days: ")
    for day in ("Saturday", "Sunday"):
        second.get_by_label(day).check()
    shoot(page, "schedule")
    save.click()
    lines = page.locator("#schedule-hours li")
    expect(lines).to_have_text(["Mon–Thu 18:00 to 07:00 the next day", "Sat, Sun all day"])
    expect(page.locator("#schedule-zone")).to_contain_text("Europe/Berlin")
    assert httpx.get(path).json()["schedule"] == {
        "timezone": "Europe/Berlin",
        "hours": [
            {"days": ["mon", "tue", "wed", "thu"], "from": "18:00", "to": "07:00"},
            {"days": ["sat", "sun"], "from": "00:00", "to": "24:00"},
        ],
    }
    page.get_by_role("button", name="Edit hours").click()
    expect(second.get_by_label("to", exact=True)).to_have_value("00:00")
    form.get_by_role("button", name="Remove hours 1").click()
    expect(form.get_by_role("group", name="Hours 2")).to_have_count(0)
    form.get_by_text("Always").click()
    save.click()
    expect(lines).to_have_text(["Always"])
    assert httpx.get(path).json()["schedule"] is None
    assert [fault for fault in scene.faults if "422" not in fault] == []
    scene.faults.clear()
    page.close()
