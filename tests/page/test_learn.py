"""Learning on the page: from a new camera to its model, and back to an earlier one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from service.bus.registry import Preview, Registry
from service.learning_messages import FootageSummary, LearningState, SkippedStretch
from service.messages import StreamState, StreamStatus, WorkerStatus
from service.settings import Settings
from tests.api.learner import PlayedLearner, make_check
from tests.page.scene import Scene, find_axe_faults, shoot
from tests.support.bundles import save_small_bundle
from tests.support.clips import picture
from tests.support.front_end import add_event

CAMERA = "rtsp://u:geheim@127.0.0.1:9/s"
NARROW = 360
TOO_LITTLE = FootageSummary(
    seconds=252.0,
    used_s=230.5,
    moving_share=0.38,
    covered=((0.0, 0.4, 0.0), (0.9, 0.2, 0.0)),
    left_out=(SkippedStretch(start_s=31.0, end_s=52.0, reason="unusual"),),
    advice="4 minutes, but nothing has crossed the <b>right</b> half yet",
)


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """An empty service, with a models folder that a test may change."""
    save_small_bundle(tmp_path / "models")
    return settings.model_copy(update={"models_dir": tmp_path / "models"})


@pytest.fixture
def learner(scene: Scene, settings: Settings) -> Iterator[PlayedLearner]:
    """A learner to play."""
    with httpx.Client(base_url=scene.url, timeout=30, trust_env=False) as api:
        yield PlayedLearner(scene.redis, settings.user_models, api)


def _display(scene: Scene, stream_id: str, state: StreamState, reason: str = "") -> None:
    """Be the worker: a picture, and a state."""
    now = time.time()
    registry = Registry(scene.redis)
    jpeg = bytes(cv2.imencode(".jpg", picture(3))[1].tobytes())
    registry.put_preview(stream_id, Preview(jpeg, b"", 1, now))
    worker = WorkerStatus(id="w", started_at=now, seen_at=now, streams=1, device="cpu")
    registry.report({stream_id: StreamStatus(state=state, reason=reason, since=now)}, worker)


def _add(scene: Scene, **body: Any) -> str:
    answer = httpx.post(f"{scene.url}/streams", json={"name": "Gate", "source": CAMERA} | body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _find_under_way(scene: Scene, name: str) -> str:
    items = httpx.get(f"{scene.url}/streams").json()["items"]
    return str(next(each["learning"]["id"] for each in items if each["name"] == name))


def _check_layout(page: Page) -> None:
    """No accessibility fault in light and dark, and nothing wider than a small phone."""
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        assert find_axe_faults(page) == []
    size = page.viewport_size
    page.set_viewport_size({"width": NARROW, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW
    assert size is not None
    page.set_viewport_size(size)


def _add_on_page(page: Page) -> str:
    """Add a camera by the dialog; return its id."""
    page.get_by_role("button", name="Add camera").first.click()
    dialog = page.locator("#add-dialog")
    dialog.get_by_label("Name").fill("Front door")
    dialog.get_by_label("Address").fill(CAMERA)
    model = dialog.get_by_label("Model")
    expect(model.locator("option:checked")).to_have_text("None yet: let it learn")
    model.select_option("ped2-fast")
    expect(dialog.locator("#model-note")).to_contain_text("knows one camera only")
    expect(dialog.locator("#model-note")).to_contain_text("at 10 frames a second")
    model.select_option("")
    dialog.get_by_role("button", name="Add camera").click()
    # Learning is the next step.
    expect(page.locator("#learn-form")).to_be_visible()
    assert page.url.endswith("/learn")
    return str(page.url.split("/")[-2])


def test_a_new_camera_learns_its_model(
    scene: Scene, browser: Browser, learner: PlayedLearner
) -> None:
    page = scene.open(browser)
    page.goto(scene.url)
    stream_id = _add_on_page(page)
    _display(scene, stream_id, StreamState.LEARNING)
    expect(page.locator("#picture")).to_be_visible()
    _check_layout(page)
    page.locator("#learn-form").get_by_text("1 hour").click()
    page.get_by_role("button", name="Learn", exact=True).click()
    title = page.locator("#learn-title")
    expect(title).to_have_text("Waiting for a learner")
    first = _find_under_way(scene, "Front door")
    assert learner.wait_for_job(first).seconds == 3600

    learner.report(
        first, LearningState.COLLECTING, progress=0.07, remaining_s=3348.0, footage=TOO_LITTLE
    )
    expect(title).to_have_text("Collecting normal footage")
    expect(page.locator("#learn-left")).to_have_text("7 % · about 56 min left")
    expect(page.locator("#learn-advice")).to_have_text(TOO_LITTLE.advice)
    expect(page.locator("#learn-figures")).to_contain_text("4 min 12 s of 1 h")
    expect(page.locator("#moved rect")).to_have_count(3)
    left_out = page.locator("#learn-left-out")
    left_out.locator("summary").click()
    expect(left_out.locator("li")).to_have_text("31 s to 52 s: unlike the rest")
    expect(page.locator(".camera").nth(2)).to_contain_text("learning: collecting footage, 7 %")
    _check_layout(page)
    shoot(page, "learn-collecting")
    page.get_by_role("button", name="Train now with what there is").click()
    expect(page.get_by_role("button", name="Train now with what there is")).to_be_hidden()
    assert learner.read(first)["request"]["train_anyway"] is True

    learner.report(first, LearningState.TRAINING, progress=0.5, loss=0.0123, footage=TOO_LITTLE)
    expect(title).to_have_text("Training")
    expect(page.locator("#learn-steps [aria-current]")).to_have_text("Train")
    page.locator("#learn-details summary").click()
    expect(page.locator("#learn-details")).to_contain_text("0.0123")
    name = learner.finish(first, make_check(current=0.7))
    done = page.locator("#learn-done")
    expect(done).to_contain_text("In use")
    expect(done).to_contain_text("It would find 9 of 10 made-up anomalies, typically after 0.4 s.")
    expect(done).to_contain_text(
        "No false alarm in 1 min of normal footage, which is too short to promise fewer than 3"
    )
    expect(page.locator("#done-aucs li")).to_have_count(4)
    expect(done.get_by_alt_text("Intruder")).to_be_visible()
    expect(page.locator("#moved rect")).to_have_count(2)
    _check_layout(page)
    shoot(page, "learn-done")
    assert httpx.get(f"{scene.url}/streams/{stream_id}").json()["model"] == name
    page.close()


def test_learnings_are_cancelled_forced_live_and_rolled_back(
    scene: Scene, browser: Browser, learner: PlayedLearner
) -> None:
    stream_id = _add(scene)
    path = f"{scene.url}/streams/{stream_id}"
    begun = httpx.post(f"{path}/learn", json={}).json()["id"]
    good = learner.finish(begun)
    learner.wait_for_state(begun, LearningState.LIVE)
    page = scene.open(browser)
    page.goto(f"{scene.url}/#/cameras/{stream_id}/learn")
    page.get_by_role("button", name="Learn again").click()
    page.get_by_role("button", name="Learn", exact=True).click()
    page.get_by_role("button", name="Cancel", exact=True).click()
    dialog = page.locator("#learn-dialog")
    dialog.get_by_role("button", name="Go back").click()
    expect(page.locator("#learn-title")).to_have_text("Waiting for a learner")
    cancelled = _find_under_way(scene, "Gate")
    page.get_by_role("button", name="Cancel", exact=True).click()
    dialog.get_by_role("button", name="Cancel the learning").click()
    expect(page.locator("#done-title")).to_have_text("Cancelled")
    assert learner.read(cancelled)["state"] == "cancelled"
    page.get_by_role("button", name="Learn again").click()
    page.get_by_role("button", name="Learn", exact=True).click()
    expect(page.locator("#learn-title")).to_have_text("Waiting for a learner")
    bad = learner.finish(_find_under_way(scene, "Gate"), make_check(is_passed=False, auc=0.55))
    expect(page.locator("#done-title")).to_have_text("Not put live")
    expect(page.locator("#done-pill")).to_have_text("failed the check")
    assert httpx.get(path).json()["model"] == good
    page.get_by_role("button", name="Put live anyway").click()
    expect(page.locator("#done-title")).to_have_text("In use")
    assert httpx.get(path).json()["model"] == bad
    rows = page.locator("#versions li")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("in use")
    rows.nth(2).get_by_role("button", name="Show report").click()
    expect(page.locator("#done-verdict")).to_have_text("It finds 9 of 10.")
    rows.nth(2).get_by_role("button", name="Use this one").click()
    expect(rows.nth(2)).to_contain_text("in use")
    assert httpx.get(path).json()["model"] == good
    rows.first.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(rows.first.get_by_role("button", name="Use this one")).to_have_count(0)
    assert bad not in str(httpx.get(f"{scene.url}/models").json())
    shoot(page, "learn-versions")
    page.close()


def test_a_camera_that_needs_to_learn_says_so_without_alarm(scene: Scene, browser: Browser) -> None:
    stream_id = _add(scene, model="ped2-fast")
    _display(scene, stream_id, StreamState.MISFIT, "the model doesn't know this camera")
    page = scene.open(browser)
    page.goto(f"{scene.url}/#/cameras/{stream_id}")
    expect(page.locator("#detail-reason")).to_have_text("the model doesn't know this camera")
    expect(page.locator("#warnings li")).to_contain_text("learn a model of this camera")
    httpx.delete(f"{scene.url}/streams/{stream_id}")
    expect(page.locator("#nothing")).to_contain_text("There is no such camera")
    learning = _add(scene)
    _display(scene, learning, StreamState.LEARNING, "no model yet")
    page.goto(f"{scene.url}/#/cameras/{learning}")
    expect(page.locator("#figures")).to_contain_text("learning")
    expect(page.locator("#figures")).to_contain_text("none yet")
    expect(page.locator("#threshold-card")).to_be_hidden()
    colour = "place => getComputedStyle(place).backgroundColor"
    dot = page.locator(f".camera[data-stream='{learning}'] .dot")
    assert dot.evaluate(colour) == "rgb(61, 111, 158)"
    page.get_by_role("button", name="Let it learn").click()
    expect(page.locator("#learn-form")).to_be_visible()
    # The browser itself reports that the deleted camera is gone.
    assert [fault for fault in scene.faults if "404" not in fault] == []
    scene.faults.clear()
    page.close()


def test_what_a_learning_cannot_use_is_said_at_its_field(scene: Scene, browser: Browser) -> None:
    page = scene.open(browser)
    page.goto(f"{scene.url}/#/cameras/{scene.stream_id}/learn")
    form = page.locator("#learn-form")
    expect(form).to_contain_text("it learns from videos")
    form.get_by_role("button", name="Learn").click()
    expect(form.locator("[data-field=sources]")).not_to_be_empty()
    form.get_by_label("Videos instead of the camera").fill("/nowhere/monday.mp4\n")
    form.get_by_role("button", name="Learn").click()
    expect(form.locator("[data-field=sources]")).to_contain_text("line 1: ")
    assert [fault for fault in scene.faults if "422" not in fault] == []
    scene.faults.clear()
    page.close()


def test_what_is_no_longer_fresh_is_grey(scene: Scene, browser: Browser) -> None:
    add_event(scene.database, scene.stream_id, "more", time.time())
    page = scene.open(browser)
    page.goto(scene.url)
    camera = page.locator(".camera").first
    expect(camera).to_have_attribute("data-stale", "false")
    expect(camera).to_contain_text("live")
    page.context.set_offline(True)
    expect(camera).to_have_attribute("data-stale", "true")
    expect(page.locator("#detail-age")).to_contain_text("normwatch does not answer since")
    expect(page.locator("#summary")).to_contain_text("0 of 2 live")
    expect(page.locator("#banner")).to_have_text("normwatch does not answer. Trying again…")
    shoot(page, "stale")
    page.context.set_offline(False)
    expect(camera).to_have_attribute("data-stale", "false")
    expect(page.locator("#banner")).to_be_hidden()
    # A worker that reports no more.
    now = time.time()
    status = StreamStatus(state=StreamState.LIVE, since=now - 60, updated_at=now)
    worker = WorkerStatus(id="w", started_at=now, seen_at=now, streams=1, device="cpu")
    Registry(scene.redis).report({scene.stream_id: status}, worker)
    expect(page.locator("#detail-age")).to_contain_text("No news from this camera's worker since")
    expect(camera).to_contain_text("live until")
    Registry(scene.redis).report(
        {scene.stream_id: status.model_copy(update={"updated_at": time.time()})}, worker
    )
    expect(camera).to_have_attribute("data-stale", "false")
    scene.faults.clear()  # the browser itself reports requests that get no answer
    page.close()
