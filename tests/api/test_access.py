"""Who may ask: API keys, names, origins, and where the service may listen."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from structlog.testing import capture_logs

from service.api.key_guesses import MAX_ADDRESSES, KeyGuesses
from service.api.network_exposure import check_exposure
from service.errors import BadInput
from service.settings import Settings
from tests.support.front_end import client

KEYS = ("first-key-of-all", "second-key-of-all")
CLOSED = [
    "/streams",
    "/streams/x/scores/live",
    "/streams/x/frame.jpg",
    "/events",
    "/webhooks",
    "/models",
    "/metrics",
    "/openapi.json",
    "/nothing",
    "/healthz/",
]


@pytest.fixture(scope="module")
def locked(module_settings: Settings) -> Iterator[httpx.Client]:
    """A front end that has two keys."""
    values = module_settings.model_dump() | {"api_keys": ",".join(KEYS)}
    with client(Settings(**values)) as made:
        yield made


@pytest.fixture(scope="module")
def api(module_settings: Settings) -> Iterator[httpx.Client]:
    """A front end that has none."""
    with client(module_settings) as made:
        yield made


def test_every_route_but_health_and_the_page_wants_a_key(locked: httpx.Client) -> None:
    for path in CLOSED:
        answer = locked.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "unauthorized"
    for path in ("/healthz", "/readyz"):
        assert locked.get(path).status_code == 200, path


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer first-key-of-all"},
        {"Authorization": "bearer second-key-of-all"},
        {"X-API-Key": "second-key-of-all"},
    ],
)
def test_each_key_opens_by_either_header(locked: httpx.Client, headers: dict[str, str]) -> None:
    assert locked.get("/streams", headers=headers).status_code == 200
    # With a key, any name will do: a foreign page can't know the key.
    assert locked.get("/streams", headers=headers | {"Host": "cam.example"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic first-key-of-all"},
        {"X-API-Key": ",".join(KEYS)},
        {"X-API-Key": b"\xe4\xff"},
    ],
)
def test_a_wrong_key_opens_nothing(locked: httpx.Client, headers: dict[str, str | bytes]) -> None:
    answer = locked.get("/streams", headers=headers)
    assert answer.status_code == 401
    assert KEYS[0] not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.0.2.1:8000", ""])
def test_without_a_key_foreign_names_are_refused(api: httpx.Client, host: str) -> None:
    answer = api.get("/streams", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.json()["error"]["code"] == "misdirected"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.9:1", "[::1]:8000"])
def test_without_a_key_names_of_this_machine_are_answered(api: httpx.Client, host: str) -> None:
    assert api.get("/streams", headers={"Host": host}).status_code == 200


FORWARDING = ["Forwarded", "X-Forwarded-For", "x-forwarded-proto", "X-Real-IP", "Via"]


@pytest.mark.parametrize("name", FORWARDING)
def test_without_a_key_nobody_comes_through_a_proxy(api: httpx.Client, name: str) -> None:
    answer = api.post("/streams", json={}, headers={name: "203.0.113.9"})
    assert answer.status_code == 403
    assert "NORMWATCH_API_KEYS" in answer.json()["error"]["message"]
    assert api.get("/streams", headers={name: "203.0.113.9"}).status_code == 403


@pytest.mark.parametrize("name", FORWARDING)
def test_with_a_key_a_proxy_may_pass_requests_on(locked: httpx.Client, name: str) -> None:
    headers = {"X-API-Key": KEYS[0], name: "203.0.113.9"}
    assert locked.get("/streams", headers=headers).status_code == 200


@pytest.mark.parametrize("origin", ["http://[", "null", "", "http://[::1", "//"])
def test_an_origin_that_is_none_is_a_foreign_one(api: httpx.Client, origin: str) -> None:
    answer = api.post("/streams", json={}, headers={"Origin": origin})
    assert answer.status_code == 403


def test_without_a_key_a_page_of_another_origin_changes_nothing(
    api: httpx.Client, stream_id: str
) -> None:
    path = f"/streams/{stream_id}"
    answer = api.delete(path, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert api.get(path).status_code == 200
    own = str(api.base_url).rstrip("/")
    assert api.delete(path, headers={"Origin": own}).status_code == 204


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_loopback_needs_no_key(settings: Settings, host: str) -> None:
    check_exposure(settings.model_copy(update={"host": host}))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "cam.example", ""])
def test_to_listen_for_others_a_key_is_needed(settings: Settings, host: str) -> None:
    opened = Settings(**(settings.model_dump() | {"host": host}))
    with pytest.raises(BadInput, match="NORMWATCH_API_KEYS"):
        check_exposure(opened)
    check_exposure(Settings(**(settings.model_dump() | {"host": host, "api_keys": "k" * 16})))


@pytest.mark.parametrize("keys", ["a", "fifteen-letters", f"{'k' * 16},short"])
def test_a_key_that_can_be_guessed_is_refused_at_the_start(settings: Settings, keys: str) -> None:
    values = settings.model_dump() | {"api_keys": keys}
    with pytest.raises(BadInput, match="16 characters or longer"):
        check_exposure(Settings(**values))


def test_a_key_can_be_demanded_on_loopback_too(settings: Settings) -> None:
    values = settings.model_dump() | {"require_api_key": True}
    with pytest.raises(BadInput, match="NORMWATCH_REQUIRE_API_KEY"):
        check_exposure(Settings(**values))
    check_exposure(Settings(**(values | {"api_keys": "k" * 16})))


def test_many_wrong_keys_lock_their_address_only(module_settings: Settings) -> None:
    values = module_settings.model_dump()
    values |= {"api_keys": ",".join(KEYS), "trusted_proxies": "127.0.0.1"}
    with client(Settings(**values)) as api:

        def ask(key: str, address: str) -> int:
            headers = {"X-API-Key": key, "X-Forwarded-For": address}
            return api.get("/streams", headers=headers).status_code

        assert ask(KEYS[0], "198.51.100.1") == 200
        with ThreadPoolExecutor(30) as pool:
            guesses = list(pool.map(lambda n: ask(f"guess-{n}", "203.0.113.9"), range(30)))
            shared = list(pool.map(lambda n: ask(f"guess-{n}", "198.51.100.1"), range(30)))
        assert set(guesses) == {401, 429}
        assert ask(KEYS[0], "203.0.113.9") == 429
        # It has sent a right key: a stranger who shares the address doesn't lock it out.
        assert set(shared) == {401}
        assert ask(KEYS[0], "198.51.100.1") == 200
        assert ask(KEYS[0], "203.0.113.10") == 200


def test_wrong_keys_are_logged_with_their_address_and_forgotten() -> None:
    now = 0.0
    guesses = KeyGuesses(lambda: now)
    with capture_logs() as logs:
        delays = [guesses.note_wrong("203.0.113.9") for _ in range(25)]
    assert [entry["address"] for entry in logs] == ["203.0.113.9"] * 2
    assert delays[0] == 0.1
    assert max(delays) == 2.0
    assert guesses.must_wait("203.0.113.9")
    now = 61.0
    assert not guesses.must_wait("203.0.113.9")
    for number in range(MAX_ADDRESSES + 10):
        guesses.note_wrong(f"address {number}")
    assert len(guesses) == MAX_ADDRESSES
