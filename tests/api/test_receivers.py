"""Receivers of all kinds over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from pytest_httpserver import HTTPServer

from service.settings import Settings
from tests.support.front_end import client

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"


@pytest.fixture(scope="module")
def api(module_settings: Settings) -> Iterator[httpx.Client]:
    """One front end for all tests here."""
    with client(module_settings) as made:
        yield made


def test_a_service_of_apprises_is_a_receiver_without_a_secret(
    api: httpx.Client, httpserver: HTTPServer
) -> None:
    url = f"json://user:geheim@127.0.0.1:{httpserver.port}/AToken"
    answer = api.post("/receivers", json={"url": url, "name": "Phone"})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["kind"], made["url"], made["secret"]) == ("apprise", "json://…", None)
    path = f"/receivers/{made['id']}"
    answered = api.get("/receivers").text + api.get(path).text
    assert not any(part in answered for part in ("geheim", "AToken"))
    httpserver.expect_request("/AToken").respond_with_data("")
    trial = api.post(f"{path}/test").json()
    assert trial["accepted"], trial
    ((request, _),) = httpserver.log
    assert "test" in request.get_json()["title"]
    assert api.post(f"{path}/secret").status_code == 409
    refused = api.patch(path, json={"url": "nonsense://x"})
    assert refused.status_code == 422
    assert refused.json()["error"]["fields"][0]["field"] == "url"
    assert api.patch(path, json={"url": "ntfy://ntfy.sh/topic"}).json()["url"] == "ntfy://…"
    assert api.delete(path).status_code == 204


def test_apprise_gets_an_address_that_a_webhook_has_if_asked(api: httpx.Client) -> None:
    url = "https://discord.com/api/webhooks/417429632418316298/JHZ7lQml277CDHmQKMHI8qBe7bk2ZwO5UKj"
    made = api.post("/receivers", json={"url": url, "kind": "apprise"}).json()
    assert (made["kind"], made["url"]) == ("apprise", "https://…")
    assert api.delete(f"/receivers/{made['id']}").status_code == 204


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "ntfy://ntfy.sh/topic", "secret": SECRET}, "secret"),
        ({"url": "ntfy://ntfy.sh/topic", "kind": "webhook"}, "url"),
        ({"url": "syslog://"}, "url"),
        ({"url": "ftp://u:geheim@example.com/"}, "url"),
        ({"url": "https://example.com/", "kind": "pigeon"}, "kind"),
        ({"url": "mqtt://***@example.com/nw"}, "url"),
        ({"url": "tgram://…"}, "url"),
        ({"url": "notaurl"}, "url"),
    ],
)
def test_odd_receivers_are_refused(api: httpx.Client, body: dict[str, object], field: str) -> None:
    answer = api.post("/receivers", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["fields"][0]["field"] == field
    assert "geheim" not in answer.text


def test_two_receivers_have_not_one_place_on_a_broker(api: httpx.Client) -> None:
    first = api.post("/receivers", json={"url": "mqtt://u:a@broker.example.com/yard"}).json()["id"]
    second = api.post("/receivers", json={"url": "mqtt://broker.example.com:1883/home"}).json()[
        "id"
    ]
    taken = {"url": "mqtt://v:b@broker.example.com/yard?discovery=off"}
    for answer in (
        api.post("/receivers", json=taken),
        api.patch(f"/receivers/{second}", json=taken),
    ):
        assert answer.status_code == 409, answer.text
        assert first in answer.json()["error"]["message"]
    kept = {"url": "mqtt://u:new@broker.example.com/yard"}
    assert api.patch(f"/receivers/{first}", json=kept).status_code == 200
    for ident in (first, second):
        assert api.delete(f"/receivers/{ident}").status_code == 204


def test_webhooks_are_the_receivers_of_that_kind(api: httpx.Client) -> None:
    broker = api.post("/receivers", json={"url": "mqtt://broker.example.com/kinds"}).json()["id"]
    answer = api.post("/webhooks", json={"url": "https://example.com/hook"})
    hook = answer.json()["id"]
    assert answer.headers["Location"] == f"/webhooks/{hook}"
    assert [item["id"] for item in api.get("/webhooks").json()["items"]] == [hook]
    assert [item["id"] for item in api.get("/receivers").json()["items"]] == [broker, hook]
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/test"),
        ("POST", "/secret"),
        ("GET", "/deliveries"),
        ("POST", "/replay"),
    ):
        body = {"json": {}} if method == "PATCH" else {}
        assert api.request(method, f"/webhooks/{broker}{path}", **body).status_code == 404, path
    for url, kind in (
        ("mqtt://broker.example.com/other", None),
        ("https://example.com/", "apprise"),
    ):
        body = {"url": url, "kind": kind}
        assert api.post("/webhooks", json=body).status_code == 422, url
    for ident in (broker, hook):
        assert api.delete(f"/receivers/{ident}").status_code == 204
