"""Apprise's hundred services. Each message is a process of its own, which ends with its time."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from service.alert.apprise.text import Text, text_of
from service.alert.attempts import Message, Outcome, Undelivered
from service.errors import BadInput
from service.tether import tethered

FOLDER = "apprise"
"""Below the data folder: key files that services need may be read from here."""
START_S = 5.0
"""For the process to begin on a busy machine, beside what the service gets."""
CHECK_S = 20.0
MAX_URL_LENGTH = 2000
MAX_ANSWER_BYTES = 64 * 1024
_PASSED_ON = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Of the environment: no secrets, and no proxies, behind which addresses can't be checked."""


class AppriseSender:
    """Sends a text that people can read, with the event's picture where the service takes one."""

    def __init__(self, *, allow_private: bool, timeout_s: float, data_dir: Path) -> None:
        self._allow_private = allow_private
        self._timeout_s = timeout_s
        self._folder = data_dir / FOLDER

    def send(self, message: Message, now: float) -> Outcome:
        """Raises: Undelivered: no answer came in time."""
        error = _ask(
            message.receiver.url,
            allow_private=self._allow_private,
            folder=self._folder,
            timeout_s=self._timeout_s + START_S,
            text=text_of(json.loads(message.body)),
            picture=message.picture,
        )
        return Outcome(error=error)

    def close(self) -> None:
        """Nothing is held between two messages."""


def check_apprise_url(url: str, *, allow_private: bool) -> None:
    """Whether Apprise has a service for the URL. Nothing is sent.

    Raises: BadInput: it has none, or the URL lacks something.
    """
    scheme = f"{url.partition('://')[0]}://…" if "://" in url else "…"
    if len(url) > MAX_URL_LENGTH:
        raise BadInput("url", scheme[:50], f"it is longer than {MAX_URL_LENGTH} characters")
    try:
        error = _ask(url, allow_private=allow_private, folder=Path(os.devnull), timeout_s=CHECK_S)
    except Undelivered as late:
        error = str(late)
    if error is not None:
        raise BadInput("url", scheme[:50], error)


def _ask(
    url: str,
    *,
    allow_private: bool,
    folder: Path,
    timeout_s: float,
    text: Text | None = None,
    picture: bytes | None = None,
) -> str | None:
    """What is wrong; None: nothing. Without a text nothing is sent. Raises: Undelivered."""
    request = {
        "url": url,
        "allow_private": allow_private,
        "folder": os.path.realpath(folder),
        "text": None if text is None else asdict(text),
        "picture": None if picture is None else base64.b64encode(picture).decode(),
    }
    command = tethered([sys.executable, "-P", "-m", "service.alert.apprise.child"])
    try:
        done = subprocess.run(
            command,
            input=json.dumps(request).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
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
