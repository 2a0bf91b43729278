"""Parts of URLs that are put together here."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from service.urls import format_authority, make_socket_url


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("127.0.0.1", "127.0.0.1:80"),
        ("a.test", "a.test:80"),
        ("::1", "[::1]:80"),
        ("[::1]", "[::1]:80"),
    ],
)
def test_an_ipv6_address_stands_in_brackets(host: str, text: str) -> None:
    assert format_authority(host, 80) == text
    assert urlsplit(f"http://{text}/").port == 80


@pytest.mark.parametrize(
    "name", ["plain", "a b", "a#b?c=d", "%25", "50%", "\u00fc\u3000", "a+b;c&d"]
)
def test_a_sockets_path_comes_back_out_of_its_url(name: str) -> None:
    parsed = urlsplit(make_socket_url(Path("/data") / name / "redis.sock"))
    assert (parsed.scheme, parsed.netloc, parsed.query, parsed.fragment) == ("unix", "", "", "")
    assert unquote(parsed.path) == f"/data/{name}/redis.sock"
