"""Archives over HTTPS from a real server: redirects, addresses, limits, and what errors show."""

from __future__ import annotations

import io
import socket
import ssl
import threading
from dataclasses import replace

import pytest
from pytest_httpserver import HTTPServer

from service.errors import BadInput
from service.tools.release.download import MAX_REDIRECTS, DownloadFailed, Fetcher
from tests.tools.release.conftest import LOOPBACK

BODY = bytes(range(256)) * 40


def _names(host: str, port: int) -> list[str]:
    return [LOOPBACK]


@pytest.fixture
def fetcher(trust: ssl.SSLContext) -> Fetcher:
    """One that trusts the server and finds it under any name."""
    return Fetcher(True, 20.0, resolver=_names, tls=trust)


def _fetch(fetcher: Fetcher, url: str) -> bytes:
    file = io.BytesIO()
    fetcher.fetch(url, file)
    return file.getvalue()


def test_a_file_comes_whole_through_redirects(https: HTTPServer, fetcher: Fetcher) -> None:
    signed = f"https://models.test:{https.port}/files/a.tar?signature=s3cret"
    https.expect_request("/a.tar").respond_with_data("", 302, {"Location": signed})
    https.expect_request("/files/a.tar", query_string="signature=s3cret").respond_with_data(
        "", 307, {"Location": "/there"}
    )
    https.expect_request("/there").respond_with_data(BODY)
    assert _fetch(fetcher, https.url_for("/a.tar")) == BODY
    assert [request.path for request, _ in https.log] == ["/a.tar", "/files/a.tar", "/there"]


def test_an_ipv6_address_keeps_its_brackets(https_ipv6: HTTPServer, trust: ssl.SSLContext) -> None:
    place = f"[::1]:{https_ipv6.port}"
    https_ipv6.expect_request("/a.tar").respond_with_data("", 302, {"Location": "/there"})
    https_ipv6.expect_request("/there").respond_with_data(BODY)
    assert _fetch(Fetcher(True, 20.0, tls=trust), f"https://{place}/a.tar") == BODY
    assert [request.headers["Host"] for request, _ in https_ipv6.log] == [place, place]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://models.test/a.tar", "https://"),
        ("ftp://models.test/a.tar", "https://"),
        ("file:///etc/passwd", "https://"),
        ("https:///a.tar", "host"),
        ("https://u:pw@models.test/a.tar?key=pw", "user name"),
        ("https://127.0.0.1/a.tar?key=pw", "private"),
        ("https://localhost/a.tar", "private"),
    ],
)
def test_urls_that_may_not_be_fetched_are_named_without_secrets(url: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        _fetch(Fetcher(), url)
    assert "source" in str(caught.value)
    assert "pw" not in str(caught.value)


def test_a_name_inside_the_network_is_refused(https: HTTPServer, fetcher: Fetcher) -> None:
    https.expect_request("/a.tar").respond_with_data(BODY)
    with pytest.raises(DownloadFailed, match=r"models\.test is at 127\.0\.0\.1.*--allow-private"):
        _fetch(replace(fetcher, allow_private=False), f"https://models.test:{https.port}/a.tar")
    assert https.log == []


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("http://models.test/a.tar?key=pw", "https://"),
        ("file:///etc/passwd", "https://"),
        ("https://u:pw@models.test/", "user name"),
        ("https://127.0.0.1:0/", "port"),
    ],
)
def test_a_redirect_may_not_lead_out_of_https(
    https: HTTPServer, fetcher: Fetcher, target: str, words: str
) -> None:
    https.expect_request("/a.tar").respond_with_data("", 302, {"Location": target})
    with pytest.raises(DownloadFailed, match=words) as caught:
        _fetch(fetcher, https.url_for("/a.tar"))
    assert "pw" not in str(caught.value)


def test_redirects_without_end_or_aim_are_given_up(https: HTTPServer, fetcher: Fetcher) -> None:
    https.expect_request("/loop").respond_with_data("", 302, {"Location": "/loop"})
    https.expect_request("/nowhere").respond_with_data("", 302)
    with pytest.raises(DownloadFailed, match=f"more than {MAX_REDIRECTS} redirects"):
        _fetch(fetcher, https.url_for("/loop"))
    with pytest.raises(DownloadFailed, match="leads nowhere"):
        _fetch(fetcher, https.url_for("/nowhere"))


def test_other_answers_and_strangers_are_errors(https: HTTPServer, fetcher: Fetcher) -> None:
    https.expect_request("/a.tar").respond_with_data("gone", 404)
    with pytest.raises(DownloadFailed, match=r"127\.0\.0\.1 answered with status 404"):
        _fetch(fetcher, https.url_for("/a.tar"))
    with pytest.raises(DownloadFailed, match="certificate"):
        _fetch(fetcher, f"https://other.test:{https.port}/a.tar")
    with pytest.raises(DownloadFailed, match="certificate"):
        _fetch(replace(fetcher, tls=None), https.url_for("/a.tar"))


def test_more_than_the_limit_is_not_taken(https: HTTPServer, fetcher: Fetcher) -> None:
    https.expect_request("/a.tar").respond_with_data(BODY)
    url = https.url_for("/a.tar")
    assert _fetch(replace(fetcher, max_bytes=len(BODY)), url) == BODY
    with pytest.raises(DownloadFailed, match=f"larger than {len(BODY) - 1} bytes"):
        _fetch(replace(fetcher, max_bytes=len(BODY) - 1), url)


def test_a_server_that_says_nothing_is_given_up() -> None:
    done = threading.Event()
    listener = socket.create_server((LOOPBACK, 0))

    def wait() -> None:
        connection, _ = listener.accept()
        with connection:
            done.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        with pytest.raises(DownloadFailed, match=r"within 0\.3 s"):
            _fetch(Fetcher(True, 0.3), f"https://{LOOPBACK}:{listener.getsockname()[1]}/a.tar")
    finally:
        done.set()
        thread.join()
        listener.close()
