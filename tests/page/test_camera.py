"""The page with a camera: picture, curve, log, and what can be done with it."""

from __future__ import annotations

import time

import httpx
from playwright.sync_api import Browser, expect

from service.bus.registry import Registry
from service.messages import StreamState, StreamStatus, WorkerStatus
from service.store.tables import StreamLogRow
from tests.page.scene import PHONE, Scene, shoot
from tests.support.front_end import add_scores

COVERED = "covered <b>or</b> turned, or something large stands before it"
COUNT_ALARM_PIXELS = """() => {
  const canvas = document.querySelector("#curve");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const count = (colour) => {
    let found = 0;
    for (let i = 0; i < data.length; i += 4)
      if (colour.every((value, part) => Math.abs(data[i + part] - value) < 24) && data[i + 3] > 200)
        found += 1;
    return found;
  };
  return { calm: count([11, 122, 117]), alarm: count([196, 49, 43]) };
}"""


def test_a_camera_is_shown_with_picture_curve_and_events(scene: Scene, browser: Browser) -> None:
    page = scene.open(browser)
    page.goto(scene.url)
    expect(page.locator(".camera")).to_have_count(2)
    expect(page.locator(".camera").first).to_contain_text("Loading bay")
    expect(page.locator(".camera").first).to_contain_text("abnormal")
    expect(page.locator("#summary")).to_contain_text("1 of 2 live")
    # A name is always text, never markup; an address has no password.
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
    shoot(page, "desktop-light")
    page.close()


def test_a_camera_without_scores_says_what_it_waits_for(scene: Scene, browser: Browser) -> None:
    now = time.time()
    reason = "2 of 4 frames seen before the next score"
    status = StreamStatus(state=StreamState.WARMING, reason=reason, since=now - 5)
    worker = WorkerStatus(id="w", started_at=now, seen_at=now, streams=1, device="cpu")
    Registry(scene.redis).report({scene.stream_id: status}, worker)
    page = scene.open(browser)
    page.goto(scene.url)
    expect(page.locator(".camera .state").first).to_have_text(f"warming · {reason}")
    expect(page.locator("#detail-reason")).to_have_text(reason)
    expect(page.locator("#detail-reason")).to_be_visible()
    expect(page.locator(".camera .state").nth(1)).to_have_text(
        "pending · no worker has taken it yet"
    )
    page.get_by_role("button", name="Pause").click()
    Registry(scene.redis).remove(scene.stream_id)
    expect(page.locator("#detail-reason")).to_contain_text("paused")
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
                (
                    "state",
                    "obscured",
                    COVERED,
                ),
                (
                    "stream.down",
                    "obscured",
                    COVERED,
                ),
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
        state=StreamState.OBSCURED,
        reason=COVERED,
        since=now - 57,
    )
    worker = WorkerStatus(id="w", started_at=now, seen_at=now, streams=1, device="cpu")
    Registry(scene.redis).report({scene.stream_id: status}, worker)
    page = scene.open(browser)
    page.goto(scene.url)
    expect(page.locator(".camera").first).to_contain_text(f"obscured · {COVERED}")
    expect(page.locator("#detail-reason")).to_have_text(COVERED)
    is_cut = "text => text.scrollWidth > text.clientWidth || text.scrollHeight > text.clientHeight"
    assert not page.locator(".camera .state").first.evaluate(is_cut)
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
    assert texts == ["outage reported", "obscured", "light changed", "live"]
    expect(page.locator("#log .why").first).to_have_text(COVERED)
    page.locator(".camera").nth(1).click()
    expect(page.locator("#log-card")).to_be_hidden()
    page.locator(".camera").first.click()
    expect(page.locator("#log li")).to_have_count(4)
    shoot(page, "log")
    page.close()


def test_scores_come_live(scene: Scene, browser: Browser) -> None:
    page = scene.open(browser)
    page.goto(scene.url)
    expect(page.locator("#readout")).to_contain_text("frame 399")
    add_scores(scene.database, scene.stream_id, [0.123], first=400)
    expect(page.locator("#readout")).to_contain_text("0.123 · frame 400")
    page.close()


def test_a_camera_is_added_paused_and_deleted(scene: Scene, browser: Browser) -> None:
    page = scene.open(browser)
    page.goto(scene.url)
    page.get_by_role("button", name="Add camera").first.click()
    dialog = page.locator("#add-dialog")
    dialog.get_by_label("Name").fill("Front door")
    dialog.get_by_text("Uploads").click()
    # No model is chosen; the user's own comes before the shipped ones.
    expect(dialog.locator("option:checked")).to_have_text("None yet: let it learn")
    expect(dialog.locator("option").nth(1)).to_have_text("small (64×64, grey)")
    dialog.get_by_label("Model").select_option("small")
    shoot(page, "add")
    dialog.get_by_role("button", name="Add camera").click()
    expect(page.locator("#detail-name")).to_have_text("Front door")
    expect(page.locator("#detail-source")).to_contain_text("/frames")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(page.locator(".camera").nth(2)).to_contain_text("paused")
    found = httpx.get(f"{scene.url}/streams").json()["items"][2]
    assert found["paused"] is True
    page.get_by_role("button", name="Delete", exact=True).click()
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


def test_on_a_phone_nothing_is_wider_than_the_screen(scene: Scene, browser: Browser) -> None:
    page = scene.open(browser, phone=True)
    page.goto(scene.url)
    expect(page.locator("#readout")).to_contain_text("frame 399")
    expect(page.locator("#picture")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    boxes = [page.locator(f"#{name}").bounding_box() for name in ("show-receivers", "add")]
    assert len({box["y"] for box in boxes if box}) == 1, "the buttons stand in one line"
    shoot(page, "phone")
    page.close()
