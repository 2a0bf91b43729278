"""The page of a service that asks for a key."""

from __future__ import annotations

import httpx
from playwright.sync_api import Browser, expect
from redis import Redis

from service.settings import Settings
from service.store.database import Database
from tests.page.scene import Scene, fill
from tests.support.front_end import add_scores, front_end


def test_an_api_key_is_asked_for_and_kept_in_the_tab(
    settings: Settings, browser: Browser, redis: Redis
) -> None:
    locked = Settings(**(settings.model_dump() | {"api_keys": "open-sesame"}))
    key = {"X-API-Key": "open-sesame"}
    with front_end(locked) as url:
        body = {"name": "Behind the door", "source": "upload", "model": "small"}
        made = httpx.post(f"{url}/streams", json=body, headers=key).json()
        database = Database(locked.database)
        fill(database, redis, made["id"])
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
