"""Who may ask: API keys, names, origins, and where the service may listen."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from service.api.network_exposure import check_exposure
from service.errors import BadInput
from service.settings import Settings
from tests.support.front_end import client

KEYS = ("first-key", "second-key")
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
        {"Authorization": "Bearer first-key"},
        {"Authorization": "bearer second-key"},
        {"X-API-Key": "second-key"},
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
        {"Authorization": "Basic first-key"},
        {"X-API-Key": "first-key,second-key"},
        {"X-API-Key": b"\xe4\xff"},
    ],
)
def test_a_wrong_key_opens_nothing(locked: httpx.Client, headers: dict[str, str | bytes]) -> None:
    answer = locked.get("/streams", headers=headers)
    assert answer.status_code == 401
    assert "first-key" not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.0.2.1:8000", ""])
def test_without_a_key_foreign_names_are_refused(api: httpx.Client, host: str) -> None:
    answer = api.get("/streams", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.json()["error"]["code"] == "misdirected"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.9:1", "[::1]:8000"])
def test_without_a_key_names_of_this_machine_are_answered(api: httpx.Client, host: str) -> None:
    assert api.get("/streams", headers={"Host": host}).status_code == 200


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
    check_exposure(Settings(**(settings.model_dump() | {"host": host, "api_keys": "k"})))
