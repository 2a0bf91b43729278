"""A camera's threshold on the page: where it comes from, what it rests on, and how it is set."""

from __future__ import annotations

import time

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from service.calibrate.stream_thresholds import compute_basis
from service.store.tables import FootageRow, StreamRow, ThresholdRow
from tests.page.scene import Scene, shoot

FIRST = 1000
"""Number of the first stretch of footage: the running calibrator has lower ones."""
LINE_AT = """([share, threshold]) => {
  const canvas = document.querySelector("#curve");
  const ratio = devicePixelRatio;
  const [left, right, top, bottom] = [34, 40, 8, 20];
  const x = Math.round(ratio * (left + share * (canvas.clientWidth - left - right)));
  const y = Math.round(ratio * (top + (1 - threshold) * (canvas.clientHeight - top - bottom)));
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [10, 5];
  const pen = copy.getContext("2d", { willReadFrequently: true });
  pen.drawImage(canvas, 3 - x, 2 - y);
  const { data } = pen.getImageData(0, 0, 10, 5);
  for (let i = 0; i < data.length; i += 4)
    if (data[i + 3] > 200 && data[i] > 150 && data[i + 1] < 110) return true;
  return false;
}"""
"""Whether a line in the colour of alarms is near there: a share of the width, and a threshold."""


def _add_footage(scene: Scene, number: int, *, seconds: float, peaks: int) -> None:
    with scene.database.write() as session:
        stream = session.get_one(StreamRow, scene.stream_id)
        session.add(
            FootageRow(
                stream_id=scene.stream_id,
                number=FIRST + number,
                basis=compute_basis(stream),
                last_frame=399,
                seconds=seconds,
                peaks=[0.2] * peaks,
            )
        )


def _calibrate(scene: Scene) -> None:
    with scene.database.write() as session:
        stream = session.get_one(StreamRow, scene.stream_id)
        session.add(
            ThresholdRow(
                stream_id=scene.stream_id,
                made_at=time.time(),
                model=stream.model,
                false_alarms_per_day=1.0,
                threshold=0.473,
                low=0.462,
                high=0.487,
                footage_s=21_600.0,
                fit={"basis": compute_basis(stream), "labels": 0, "peaks": 560, "highest": 0.455},
            )
        )
        stream.calibrated_threshold = 0.473
        stream.revision += 1


def _wait_for_line(page: Page, share: float, threshold: float) -> None:
    page.wait_for_function(LINE_AT, arg=[share, threshold])


def test_a_threshold_says_where_it_comes_from_and_what_it_rests_on(
    scene: Scene, browser: Browser
) -> None:
    page = scene.open(browser)
    page.goto(scene.url)
    origin, note = page.locator("#threshold-origin"), page.locator("#footage-note")
    expect(origin).to_contain_text("the model’s own")
    expect(note).to_have_text(
        "No normal footage yet: 10 min with 20 peaks of the score are needed to calibrate it."
    )
    _add_footage(scene, 0, seconds=250.0, peaks=12)
    page.reload()
    expect(note).to_have_text(
        "4 min 10 s of normal footage with 12 peaks of the score so far. "
        "5 min 50 s and 8 peaks more until it is calibrated."
    )
    share = page.locator("#footage").evaluate("progress => progress.value")
    assert share == pytest.approx(250 / 600)
    _add_footage(scene, 1, seconds=22_010.0, peaks=48)
    _calibrate(scene)
    expect(origin).to_have_text("calibrated from its own footage for 1 false alarm a day")
    expect(page.locator("#threshold-value")).to_have_text("0.473")
    rests = page.locator("#threshold-basis")
    expect(rests).to_contain_text("0.462 to 0.487")
    expect(rests).to_contain_text("6 h, 560 peaks")
    expect(rests).to_contain_text("6 h 11 min")
    expect(page.locator("#calibration")).to_be_hidden()
    # The scores that are shown were judged by 0.5.
    _wait_for_line(page, 0.3, 0.5)
    _wait_for_line(page, 1.0, 0.473)
    shoot(page, "threshold")
    page.close()


def test_a_promise_and_a_fixed_threshold_are_set_and_reset(scene: Scene, browser: Browser) -> None:
    _calibrate(scene)
    path = f"{scene.url}/streams/{scene.stream_id}"
    page = scene.open(browser)
    page.goto(scene.url)
    origin, fixed = (
        page.locator("#threshold-origin"),
        page.get_by_label("Fixed threshold", exact=True),
    )
    expect(origin).to_contain_text("calibrated")
    back = page.get_by_role("button", name="Back to calibrated (0.473)")
    expect(back).to_be_hidden()
    page.locator("#promise").fill("0.5")
    page.get_by_role("button", name="Set false alarms a day").click()
    expect(page.locator("#footage-note")).to_contain_text(
        "calibrated again for 0.5 false alarms a day"
    )
    assert httpx.get(path).json()["false_alarms_per_day"] == 0.5
    page.get_by_role("button", name="Use the default").click()
    expect(page.locator("#footage-note")).to_be_hidden()
    expect(page.locator("#promise")).to_have_value("")
    page.locator("#threshold").fill("1.5")
    page.locator("#threshold").press("Enter")
    expect(page.locator("#threshold-error")).to_contain_text("less than or equal to 1")
    expect(page.locator("#threshold")).to_have_attribute("aria-invalid", "true")
    page.locator("#threshold").fill("0.8")
    page.locator("#threshold").press("Enter")
    expect(origin).to_have_text("fixed for this camera")
    expect(page.locator("#threshold-error")).to_be_hidden()
    expect(page.locator("#threshold-value")).to_have_text("0.800")
    _wait_for_line(page, 1.0, 0.8)
    back.click()
    expect(origin).to_contain_text("calibrated")
    expect(fixed).to_have_value("")
    found = httpx.get(path).json()
    assert (found["threshold"], found["false_alarms_per_day"]) == (None, None)
    assert [fault for fault in scene.faults if "422" not in fault] == []
    scene.faults.clear()
    page.close()
