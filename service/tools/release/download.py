"""Downloads an archive over HTTPS: checks the address at each redirect, limits size and time.

A redirect's target may carry a signature, so errors name its host only.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from typing import IO

import httpcore
import httpx

from service.alert.addresses import (
    CheckedBackend,
    Resolver,
    check_url,
    compute_remaining_s,
    resolve,
)
from service.errors import AddressRefused, BadInput, NormwatchError
from service.logs import hide_secrets
from service.tools.release.archive import MAX_ARCHIVE_BYTES

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class DownloadFailed(NormwatchError):
    """An archive couldn't be downloaded; the text says why."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Downloads archives; tests replace its parts."""

    allow_private: bool = False
    timeout_s: float = 1800.0
    """Time limit for everything, redirects included."""
    max_bytes: int = MAX_ARCHIVE_BYTES
    resolver: Resolver = resolve
    tls: ssl.SSLContext | None = None
    """Authorities to trust; None takes the usual ones."""

    def fetch(self, url: str, file: IO[bytes]) -> None:
        """Download a URL to a file.

        Raises: BadInput: the URL isn't permitted. DownloadFailed: the download failed.
        """
        deadline = time.monotonic() + self.timeout_s
        try:
            self._check(url)
        except BadInput as error:
            raise BadInput("source", redact_url_query(url), error.reason) from None
        tls = self.tls or httpx.create_ssl_context()
        try:
            for _ in range(MAX_REDIRECTS + 1):
                target = self._step(httpx.URL(url), file, tls, deadline)
                if target is None:
                    return
                url = str(httpx.URL(url).join(target))
                self._check(url)
        except BadInput as error:
            raise DownloadFailed(f"a redirect can't be followed: {error.reason}") from None
        except AddressRefused as error:
            raise DownloadFailed(
                f"{error.host} is at {error.address}, inside a network: --allow-private permits it"
            ) from None
        except httpcore.TimeoutException:
            raise DownloadFailed(f"it didn't come within {self.timeout_s:g} s") from None
        except httpx.InvalidURL:
            raise DownloadFailed("a redirect leads to something that is no URL") from None
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            ssl.SSLError,
        ) as error:
            raise DownloadFailed(f"the connection failed: {error}") from None
        raise DownloadFailed(f"there are more than {MAX_REDIRECTS} redirects")

    def _check(self, url: str) -> None:
        if not url.lower().startswith("https://"):
            raise BadInput("source", redact_url_query(url), "it must start with https://")
        check_url(url, allow_private=self.allow_private)

    def _step(
        self, url: httpx.URL, file: IO[bytes], tls: ssl.SSLContext, deadline: float
    ) -> str | None:
        """Make one request: write the body to the file, or return a redirect's target."""
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        backend = CheckedBackend(
            allow_private=self.allow_private,
            timeout_s=compute_remaining_s(deadline),
            resolver=self.resolver,
        )
        headers: list[tuple[bytes | str, bytes | str]] = [
            # Named, because httpcore leaves out the brackets of an IPv6 address.
            ("Host", url.netloc),
            ("User-Agent", "normwatch"),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]
        with (
            httpcore.ConnectionPool(ssl_context=tls, network_backend=backend) as pool,
            pool.stream("GET", target, headers=headers) as response,
        ):
            if response.status in REDIRECTS:
                return _read_header(response, b"location")
            if response.status != 200:
                raise DownloadFailed(f"{url.host} answered with status {response.status}")
            self._take(response, file)
        return None

    def _take(self, response: httpcore.Response, file: IO[bytes]) -> None:
        taken = 0
        for part in response.iter_stream():
            taken += len(part)
            if taken > self.max_bytes:
                raise DownloadFailed(f"it is larger than {self.max_bytes} bytes")
            file.write(part)


def redact_url_query(url: str) -> str:
    """Return a URL without its credentials and its query, for messages."""
    return hide_secrets(url.partition("?")[0].partition("#")[0])


def _read_header(response: httpcore.Response, name: bytes) -> str:
    for key, value in response.headers:
        if key.lower() == name:
            return value.decode("latin-1")
    raise DownloadFailed("a redirect leads nowhere")
