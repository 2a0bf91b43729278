"""Limits a process that runs third-party plugins: it may reach public addresses and read libraries.

Python's audit hooks see every connection, even those that a name or a redirect led to, and can't
be removed again.
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


class PluginGuard:
    """Refuses what plugins may not do, and remembers what it refused."""

    def __init__(self, may_reach: Callable[[str], bool], folder: Path | None = None) -> None:
        """Args:
        may_reach: returns whether an address may be reached.
        folder: its files may be read, besides the libraries'; it must not be a link.
        """
        self.refused: list[str] = []
        self._may_reach = may_reach
        roots = [*_SYSTEM, *(f"/etc/{name}" for name in _SYSTEM_FILES)]
        roots += [os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, *sys.path)]
        if folder is not None:
            roots.append(str(folder))
        self._readable = tuple(root for root in roots if root)

    def install(self) -> None:
        """Guard the process until it ends."""
        sys.addaudithook(self._check)

    def _check(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _SENDING:
            self._check_address(arguments[1])
        elif event == "open":
            path, _, flags = arguments
            self._check_file(path, flags or 0)
        elif event in _STARTING:
            self._refuse("no other program may be started")

    def _check_address(self, address: object) -> None:
        if address is None:  # the socket is connected already
            return
        host = str(address[0]) if isinstance(address, tuple) else ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            # It is a local socket, or a name that would be looked up without a check.
            self._refuse("only network addresses may be reached")
        else:
            if not self._may_reach(host):
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
