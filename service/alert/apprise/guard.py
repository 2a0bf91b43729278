"""What a process that runs other people's plugins may do: reach public addresses, read libraries.

An audit hook of Python's sees every connection, wherever a name or a redirect has led, and can't be
taken off again.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SENDING = ("socket.connect", "socket.sendto", "socket.sendmsg")
_STARTING = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "pty.spawn",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SYSTEM = ("/etc/ssl", "/etc/pki", "/usr/lib", "/usr/lib64", "/usr/share", "/dev/null")
_SYSTEM_FILES = ("hosts", "resolv.conf", "nsswitch.conf", "services", "mime.types", "localtime")


class Guard:
    """Refuses, and remembers what it refused."""

    def __init__(self, is_allowed: Callable[[str], bool], folder: Path | None = None) -> None:
        """Args:
        is_allowed: whether an address may be reached.
        folder: files may be read below it, beside the libraries'; it must not be a link.
        """
        self.refused: list[str] = []
        self._is_allowed = is_allowed
        roots = [*_SYSTEM, *(f"/etc/{name}" for name in _SYSTEM_FILES)]
        roots += [os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, *sys.path)]
        if folder is not None:
            roots.append(str(folder))
        self._readable = tuple(root for root in roots if root)

    def install(self) -> None:
        """For the rest of the process's life."""
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _SENDING:
            self._check_address(arguments[1])
        elif event == "open":
            path, _, flags = arguments
            self._check_file(path, flags or 0)
        elif event in _STARTING:
            self._refuse("no other program may be started")

    def _check_address(self, address: object) -> None:
        if address is None:  # of a socket that is connected already
            return
        host = str(address[0]) if isinstance(address, tuple) else ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            # A socket of this machine's, or a name that something below would look up.
            self._refuse("only network addresses may be reached")
        else:
            if not self._is_allowed(host):
                self._refuse(f"it leads to {host}, and messages may not go to such an address")

    def _check_file(self, path: object, flags: int) -> None:
        if isinstance(path, int):
            return
        real = os.path.realpath(os.fsdecode(path)) if isinstance(path, str | bytes) else ""
        readable = any(real == root or real.startswith(root + os.sep) for root in self._readable)
        if (flags & _WRITING and real != os.devnull) or not readable:
            self._refuse("it may not open files of this machine")

    def _refuse(self, reason: str) -> None:
        self.refused.append(reason)
        raise PermissionError(reason)
