"""Receivers on the page."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, expect
from pytest_httpserver import HTTPServer
from redis import Redis

from service.settings import Settings
from service.store.database import Database
from service.store.tables import DeliveryRow
from tests.page.scene import Scene, shoot
from tests.support.front_end import add_messages, front_end
from tests.support.servers import wait_for


@pytest.fixture
def empty(settings: Settings, redis: Redis) -> Iterator[Scene]:
    """A front end that may call this machine, without cameras."""
    allowing = settings.model_copy(update={"allow_private_receivers": True})
    database = Database(allowing.database)
    with front_end(allowing) as url:
        yield Scene(url, database, redis, "")
    database.close()


def test_receivers_are_tested_and_their_dead_letters_sent_again(
    empty: Scene, browser: Browser, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook", method="POST").respond_with_data("thanks", 202)
    body = {"url": httpserver.url_for("/hook"), "name": "On <b>call</b>"}
    hook = httpx.post(f"{empty.url}/webhooks", json=body).json()["id"]
    httpx.patch(f"{empty.url}/webhooks/{hook}", json={"enabled": False})
    with empty.database.write() as session:
        session.add(
            DeliveryRow(
                id="msg_1",
                sequence=1,
                receiver_id=hook,
                stream_id="cam",
                event_type="event.started",
                body="{}",
                state="dead",
                next_attempt_at=0.0,
                created_at=time.time(),
            )
        )
    page = empty.open(browser)
    page.goto(empty.url)
    page.get_by_role("button", name="Alerts").click()
    dialog = page.locator("#receivers-dialog")
    expect(dialog.locator(".name")).to_have_text("On <b>call</b>")
    expect(dialog).to_contain_text("off: it was switched off · 1 not delivered")
    dialog.get_by_role("button", name="Test").click()
    expect(dialog.locator(".result")).to_contain_text("Accepted: 202 after")
    dialog.get_by_role("button", name="Switch on").click()
    shoot(page, "receivers-tested")
    dialog.get_by_role("button", name="Send 1 again").click()
    expect(dialog.get_by_role("button", name="Send 1 again")).to_be_hidden()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    page.close()
    assert empty.faults == []

    def came() -> bool:
        return any(request.headers["webhook-id"] == "msg_1" for request, _ in httpserver.log)

    wait_for(came, "the dead letter")


def test_a_dead_letter_is_listed_and_sent_again_alone(
    empty: Scene, browser: Browser, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook", method="POST").respond_with_data("thanks", 202)
    body = {"url": httpserver.url_for("/hook"), "name": "On <b>call</b>"}
    hook = httpx.post(f"{empty.url}/webhooks", json=body).json()["id"]
    add_messages(empty.database, hook, "dead", "dead", due=0.0)
    with empty.database.write() as session:
        session.get_one(DeliveryRow, "msg_0").last_error = "no <i>answer</i>"
    page = empty.open(browser)
    page.goto(empty.url)
    page.get_by_role("button", name="Alerts").click()
    letters = page.locator("#dead-list li")
    expect(letters).to_have_count(2)
    expect(letters.nth(1)).to_contain_text("event.started · cam")
    expect(letters.nth(1)).to_contain_text("to On <b>call</b>")
    expect(letters.nth(1)).to_contain_text("1 attempt · no <i>answer</i>")
    shoot(page, "dead-letters")
    letters.nth(1).get_by_role("button").click()
    expect(letters).to_have_count(1)
    wait_for(lambda: len(httpserver.log) > 0, "the dead letter")
    assert [request.headers["webhook-id"] for request, _ in httpserver.log] == ["msg_0"]
    page.close()
    assert empty.faults == []


def test_receivers_are_added_and_removed(
    empty: Scene, browser: Browser, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/AToken").respond_with_data("")
    page = empty.open(browser)
    page.goto(empty.url)
    page.get_by_role("button", name="Alerts").click()
    dialog = page.locator("#receivers-dialog")
    expect(dialog).to_contain_text("Nobody is notified yet.")
    address = dialog.get_by_label("Notify another")

    address.fill("nonsense://x")
    dialog.get_by_role("button", name="Add").click()
    expect(dialog.locator("[data-field=url]")).to_contain_text("Apprise")
    assert [fault for fault in empty.faults if "422" not in fault] == []
    empty.faults.clear()

    address.fill(f"json://127.0.0.1:{httpserver.port}/AToken")
    dialog.get_by_label("Name").fill("Phone")
    dialog.get_by_label("About what").select_option("Starts of events")
    dialog.get_by_role("button", name="Add").click()
    entry = dialog.locator("#receivers li")
    expect(entry).to_contain_text("Phone")
    expect(entry).to_contain_text("json://…")
    expect(dialog.locator("#receiver-secret")).to_be_hidden()
    entry.get_by_role("button", name="Test").click()
    expect(entry.locator(".result")).to_contain_text("Accepted after")
    made = httpx.get(f"{empty.url}/receivers").json()["items"][0]
    assert made["event_types"] == ["event.started"]

    address.fill(httpserver.url_for("/hook"))
    dialog.get_by_role("button", name="Add").click()
    expect(dialog.locator("#receiver-secret")).to_contain_text("whsec_")
    expect(entry).to_have_count(2)
    shoot(page, "receivers")
    page.on("dialog", lambda asked: asked.accept())
    entry.first.get_by_role("button", name="Remove").click()
    expect(entry).to_have_count(1)
    assert len(httpx.get(f"{empty.url}/receivers").json()["items"]) == 1
    dialog.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Alerts").click()
    expect(dialog.locator("#receiver-secret")).to_be_hidden()
    page.close()
    # It may have asked for the dead letters of the one that was just removed.
    assert [fault for fault in empty.faults if "404" not in fault] == []
