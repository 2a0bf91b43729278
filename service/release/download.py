"""One archive fetched over HTTPS: checked addresses at each redirect, a size limit, a time limit.

Where a redirect leads may carry a signature, so no error shows more of it than its host.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from typing import IO

import httpcore
import httpx

from service.alert.addresses import CheckedBackend, Resolver, check_url, remaining, resolve
from service.errors import AddressRefused, BadInput, NormwatchError
from service.logs import hide_secrets
from service.release.archive import MAX_ARCHIVE_BYTES

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class DownloadFailed(NormwatchError):
    """An archive that didn't come; the text says why."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """How archives are fetched; the parts can be replaced."""

    allow_private: bool = False
    timeout_s: float = 1800.0
    """For everything, redirects among it."""
    max_bytes: int = MAX_ARCHIVE_BYTES
    resolver: Resolver = resolve
    tls: ssl.SSLContext | None = None
    """None trusts the usual authorities."""

    def fetch(self, url: str, file: IO[bytes]) -> None:
        """Write what is at a URL to a file.

        Raises: BadInput: the URL may not be fetched. DownloadFailed: what is there didn't come.
        """
        deadline = time.monotonic() + self.timeout_s
        try:
            self._check(url)
        except BadInput as error:
            raise BadInput("source", shown(url), error.reason) from None
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
            raise BadInput("source", shown(url), "it must start with https://")
        check_url(url, allow_private=self.allow_private)

    def _step(
        self, url: httpx.URL, file: IO[bytes], tls: ssl.SSLContext, deadline: float
    ) -> str | None:
        """One request: the body goes to the file, or the place of a redirect comes back."""
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        backend = CheckedBackend(
            allow_private=self.allow_private,
            timeout_s=remaining(deadline),
            resolver=self.resolver,
        )
        headers = {"User-Agent": "normwatch", "Accept-Encoding": "identity", "Connection": "close"}
        with (
            httpcore.ConnectionPool(ssl_context=tls, network_backend=backend) as pool,
            pool.stream("GET", target, headers=list(headers.items())) as response,
        ):
            if response.status in REDIRECTS:
                return _header(response, b"location")
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


def shown(url: str) -> str:
    """A URL as it may be shown: without credentials and without its query."""
    return hide_secrets(url.partition("?")[0].partition("#")[0])


def _header(response: httpcore.Response, name: bytes) -> str:
    for key, value in response.headers:
        if key.lower() == name:
            return value.decode("latin-1")
    raise DownloadFailed("a redirect leads nowhere")
