"""The program of a process that sends one text by Apprise, or checks a URL.

It reads a request in JSON from standard input, and answers in JSON. A separate process can be
killed when its time is up, even if a plugin hangs, and does no more than `plugin_guard` allows.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_plus

import apprise
from apprise.attachment.memory import AttachMemory
from apprise.exception import AppriseException

from service.alert.addresses import AllowPrivate, find_host_problem, may_reach
from service.alert.apprise.plugin_guard import PluginGuard

LOCAL = {"blink1", "dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"}
"""Schemes that would notify the front end's own machine."""
NICENESS = 5
LEAST_HIDDEN = 4
"""Shorter parts of a URL (in characters) are no secrets, and any text has them."""


class _WarningLog(logging.Handler):
    """Collects what Apprise logs when something goes wrong."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def main() -> None:
    # Scoring runs on the same cores, and goes first.
    os.nice(NICENESS)
    answers, sys.stdout = sys.stdout, sys.stderr
    request = json.load(sys.stdin)
    warnings = _WarningLog()
    logger = logging.getLogger("apprise")
    logger.addHandler(warnings)
    logger.propagate = False
    allow_private = _read_allow_private(request)
    guard = PluginGuard(lambda address: may_reach(address, allow_private), Path(request["folder"]))
    guard.install()
    try:
        error = _handle(request, warnings)
    except Exception as failure:
        error = f"the service's plugin failed: {type(failure).__name__}"
    if error is not None:
        error = guard.refused[-1] if guard.refused else _hide_url_parts(error, request["url"])
    json.dump({"error": error}, answers)


def _handle(request: dict[str, Any], warnings: _WarningLog) -> str | None:
    """Send the text, or check the URL. Returns: what is wrong; None: nothing."""
    url = str(request["url"])
    scheme = url.partition("://")[0].strip().lower()
    if scheme in LOCAL:
        return f"{scheme}:// would speak to the front end's own machine"
    asset = apprise.AppriseAsset(
        app_id="normwatch", app_desc="normwatch", app_url="", http_redirects=False
    )
    service = _make_service(url, asset)
    if isinstance(service, str):
        return service
    text = request.get("text")
    if text is None:
        # Others keep a token there: a Telegram bot's begins with a number, which isn't an address.
        templates: tuple[str, ...] = service.templates
        names_host = any("{host}" in template for template in templates)
        host = str(getattr(service, "host", None) or "") if names_host else ""
        allow_private = _read_allow_private(request)
        if not host:
            return None
        return find_host_problem(host, host.encode("ascii", "replace"), allow_private=allow_private)
    sending = apprise.Apprise(asset=asset)
    sending.add(service)
    picture = request.get("picture")
    attachments = None
    if picture is not None and service.attachment_support:
        attachments = AttachMemory(  # type: ignore[no-untyped-call]
            content=base64.b64decode(picture), name="picture.jpg", mimetype="image/jpeg"
        )
    done = sending.notify(
        title=text["title"],
        body=text["body"],
        notify_type=apprise.NotifyType(text["tone"]),
        attach=attachments,
    )
    if done:
        return None
    return " ".join(warnings.texts) or "the service did not take it"


def _read_allow_private(request: dict[str, Any]) -> AllowPrivate:
    allowed = request["allow_private"]
    return allowed if isinstance(allowed, bool) else [ip_network(each) for each in allowed]


def _make_service(url: str, asset: apprise.AppriseAsset) -> apprise.NotifyBase | str:
    try:
        found = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=False)
    except AppriseException as error:
        return str(error)
    if found is None:
        return "it is no URL of a service that Apprise knows"
    if isinstance(found, apprise.NotifyBase):
        return found
    return "it must be the URL of one service"


def _hide_url_parts(text: str, url: str) -> str:
    """Hide all parts of the URL in the text: any of them may be a secret."""
    raw = re.split(r"[/:@?&=,#]+", url.partition("://")[2])
    parts = {form for part in raw for form in (part, unquote(part), unquote_plus(part))}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= LEAST_HIDDEN:
            text = text.replace(part, "***")
    return text


if __name__ == "__main__":
    main()
