"""Follows an HTTP redirect to the next address, which is checked before anything goes there."""

from __future__ import annotations

import base64
import http.client
import ssl
from contextlib import closing
from urllib.parse import unquote, urljoin

from model.footage.locations import Location

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5


def find_redirect(location: Location, timeout_s: float) -> Location | None:
    """Ask an HTTP source, and return where it redirects to; None: it doesn't, or doesn't answer."""
    if location.host is None or location.port is None:
        return None
    try:
        with closing(_connect(location, timeout_s)) as connection:
            connection.request("GET", location.ffmpeg_path or "/", headers=_make_headers(location))
            answer = connection.getresponse()
            target = answer.getheader("Location")
    except (OSError, http.client.HTTPException, ValueError):
        return None
    if answer.status not in REDIRECTS or not target:
        return None
    return Location.parse(
        urljoin(f"{location.scheme}://{location.authority}{location.path}", target)
    )


def _connect(location: Location, timeout_s: float) -> http.client.HTTPConnection:
    host, port = location.host or "", location.port
    if location.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
    # As FFmpeg does: cameras have certificates of their own making.
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=trusting)


def _make_headers(location: Location) -> dict[str, str]:
    if location.userinfo is None:
        return {}
    token = base64.b64encode(unquote(location.userinfo).encode()).decode()
    return {"Authorization": f"Basic {token}"}
