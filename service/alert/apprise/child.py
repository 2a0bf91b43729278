"""Run as a process: send one text by Apprise, or see whether a URL is one of its.

Takes a request in JSON from standard input, and answers in JSON. A process of its own ends when its
time is up, whatever a plugin does, and may not do more than `guard` allows.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_plus

import apprise
from apprise.attachment.memory import AttachMemory
from apprise.exception import AppriseException

from service.alert.addresses import host_problem, is_public
from service.alert.apprise.guard import Guard

LOCAL = {"blink1", "dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"}
"""Schemes of what would speak to this machine itself."""
NICENESS = 5
LEAST_HIDDEN = 4
"""Characters: shorter parts of a URL are no secrets, and stand in every sentence."""


class _Said(logging.Handler):
    """What Apprise says when something goes wrong."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def main() -> None:
    """Answer one request."""
    # Frames are scored on the same cores.
    os.nice(NICENESS)
    answers, sys.stdout = sys.stdout, sys.stderr
    request = json.load(sys.stdin)
    said = _Said()
    logger = logging.getLogger("apprise")
    logger.addHandler(said)
    logger.propagate = False
    allow_private = bool(request["allow_private"])
    guard = Guard(lambda address: allow_private or is_public(address), Path(request["folder"]))
    guard.install()
    try:
        error = _answer(request, said)
    except Exception as failure:
        error = f"the service's plugin failed: {type(failure).__name__}"
    if error is not None:
        error = guard.refused[-1] if guard.refused else _hidden(error, request["url"])
    json.dump({"error": error}, answers)


def _answer(request: dict[str, Any], said: _Said) -> str | None:
    """What is wrong; None: nothing."""
    url = str(request["url"])
    scheme = url.partition("://")[0].strip().lower()
    if scheme in LOCAL:
        return f"{scheme}:// would speak to the front end's own machine"
    asset = apprise.AppriseAsset(
        app_id="normwatch", app_desc="normwatch", app_url="", http_redirects=False
    )
    service = _service(url, asset)
    if isinstance(service, str):
        return service
    text = request.get("text")
    if text is None:
        host = str(getattr(service, "host", None) or "")
        allow_private = bool(request["allow_private"])
        if not host:
            return None
        return host_problem(host, host.encode("ascii", "replace"), allow_private=allow_private)
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
    return " ".join(said.texts) or "the service did not take it"


def _service(url: str, asset: apprise.AppriseAsset) -> apprise.NotifyBase | str:
    """The service, or what is wrong with its URL."""
    try:
        found = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=False)
    except AppriseException as error:
        return str(error)
    if found is None:
        return "it is no URL of a service that Apprise knows"
    if isinstance(found, apprise.NotifyBase):
        return found
    return "it must be one service's"


def _hidden(text: str, url: str) -> str:
    """The text without anything that stands in the URL, which is secret as a whole."""
    raw = re.split(r"[/:@?&=,#]+", url.partition("://")[2])
    parts = {form for part in raw for form in (part, unquote(part), unquote_plus(part))}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= LEAST_HIDDEN:
            text = text.replace(part, "***")
    return text


if __name__ == "__main__":
    main()
