"""An HTTPS server whose certificate is for loopback addresses and for models.test."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

LOOPBACK = "127.0.0.1"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate; its key lies next to it."""
    path = tmp_path_factory.mktemp("tls") / "models.crt"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = f"subjectAltName=DNS:models.test,IP:{LOOPBACK},IP:::1"
    extra = ["-subj", "/CN=models.test", "-addext", names]
    files = ["-keyout", str(path.with_suffix(".key")), "-out", str(path)]
    subprocess.run([*command.split(), *extra, *files], check=True, capture_output=True)
    return path


@pytest.fixture
def trust(certificate: Path) -> ssl.SSLContext:
    """What trusts the server."""
    return ssl.create_default_context(cafile=str(certificate))


@pytest.fixture
def https(certificate: Path) -> Iterator[HTTPServer]:
    """The server."""
    with HTTPServer(host=LOOPBACK, port=0, ssl_context=_tls(certificate)) as server:
        yield server


@pytest.fixture
def https_ipv6(certificate: Path) -> Iterator[HTTPServer]:
    """The same on the other loopback address."""
    with HTTPServer(host="::1", port=0, ssl_context=_tls(certificate)) as server:
        yield server


def _tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context
