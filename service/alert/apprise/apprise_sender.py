"""Sends messages by Apprise's services, each in a process that is killed when its time is up."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from service.alert.addresses import AllowPrivate
from service.alert.apprise.message_text import MessageText, write_text
from service.alert.attempts import Message, SendResult, Undelivered
from service.alert.outbox import parse_notification
from service.errors import BadInput
from service.tether import tether_command

FOLDER = "apprise"
"""A folder in the data folder: plugins may read key files from it."""
START_S = 5.0
"""What the process gets to start on a busy machine, besides the time for the service."""
CHECK_S = 20.0
MAX_URL_LENGTH = 2000
MAX_ANSWER_BYTES = 64 * 1024
_ENVIRONMENT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that the process gets: no secrets, and no proxies, which would hide addresses."""


class AppriseSender:
    """Sends a text that people can read, with the event's picture if the service takes one."""

    def __init__(self, *, allow_private: AllowPrivate, timeout_s: float, data_dir: Path) -> None:
        self._allow_private = allow_private
        self._timeout_s = timeout_s
        self._folder = data_dir / FOLDER

    def send(self, message: Message, now: float) -> SendResult:
        """Send it. Raises: Undelivered: no answer came in time. ValueError: its body is wrong."""
        error = _run_apprise(
            message.receiver.url,
            allow_private=self._allow_private,
            folder=self._folder,
            timeout_s=self._timeout_s + START_S,
            text=write_text(parse_notification(message.body)),
            picture=message.picture,
        )
        return SendResult(error=error)

    def close(self) -> None:
        """Do nothing: nothing is held between two messages."""


def check_apprise_url(url: str, *, allow_private: AllowPrivate) -> None:
    """Check that Apprise has a service for the URL. Nothing is sent.

    Raises: BadInput: it has none, or the URL lacks something.
    """
    scheme = f"{url.partition('://')[0]}://…" if "://" in url else "…"
    if len(url) > MAX_URL_LENGTH:
        raise BadInput("url", scheme[:50], f"it is longer than {MAX_URL_LENGTH} characters")
    try:
        error = _run_apprise(
            url, allow_private=allow_private, folder=Path(os.devnull), timeout_s=CHECK_S
        )
    except Undelivered as late:
        error = str(late)
    if error is not None:
        raise BadInput("url", scheme[:50], error)


def _run_apprise(
    url: str,
    *,
    allow_private: AllowPrivate,
    folder: Path,
    timeout_s: float,
    text: MessageText | None = None,
    picture: bytes | None = None,
) -> str | None:
    """Send the text, or check the URL without one. Returns: what is wrong. Raises: Undelivered."""
    request = {
        "url": url,
        "allow_private": allow_private
        if isinstance(allow_private, bool)
        else [str(network) for network in allow_private],
        "folder": os.path.realpath(folder),
        "text": None if text is None else asdict(text),
        "picture": None if picture is None else base64.b64encode(picture).decode(),
    }
    command = tether_command([sys.executable, "-P", "-m", "service.alert.apprise.apprise_process"])
    try:
        done = subprocess.run(
            command,
            input=json.dumps(request).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Undelivered(f"no answer within {timeout_s:g} s") from None
    try:
        answer = json.loads(done.stdout[:MAX_ANSWER_BYTES])["error"]
    except (ValueError, KeyError):
        raise Undelivered(f"Apprise's process ended with {done.returncode}") from None
    return None if answer is None else str(answer)
