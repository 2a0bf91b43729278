"""A TCP relay in front of a real server, in this process, that can misbehave at any moment."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from enum import Enum
from typing import Self

_TICK_S = 0.02
_PIECE = 64 * 1024
_GARBAGE_BYTES_PER_S = 100_000
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST."""


class _Mode(Enum):
    PASS = "pass"
    SILENT = "silent"
    """Accepted, and then nothing; connections that there were are held, too."""
    STALL = "stall"
    GARBAGE = "garbage"


@dataclass(eq=False)
class _Pair:
    """A client, and the server that it is led to once it has said something."""

    client: socket.socket
    server: socket.socket | None = None
    owed: dict[socket.socket, bytearray] = field(default_factory=dict)
    """What still has to be written to each."""
    is_new: bool = True

    def other(self, one: socket.socket) -> socket.socket | None:
        return self.server if one is self.client else self.client

    def sockets(self) -> list[socket.socket]:
        return [each for each in (self.client, self.server) if each is not None]


class Relay:
    """Passes everything on to a port of this machine, until told otherwise.

    Any thread may call it; what a call changes is in force when it returns.
    """

    def __init__(self, target_port: int, port: int = 0) -> None:
        """Args: port: where it listens; 0 takes a free one, which it keeps."""
        self.target_port = target_port
        self._listener = _listen(port)
        self.port = int(self._listener.getsockname()[1])
        self.accepted = 0
        """Connections so far; one that is closed without a word counts too."""
        self._mode = _Mode.PASS
        self._bytes_per_s: float | None = None
        self._credit = 0.0
        self._pairs: list[_Pair] = []
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def pass_through(self) -> None:
        """Behave; connections that were stalled go on."""
        with self._lock:
            if self._listener.fileno() < 0:
                self._listener = _listen(self.port)
            if self._mode is _Mode.GARBAGE:
                self._drop()
            self._mode, self._bytes_per_s = _Mode.PASS, None

    def refuse(self) -> None:
        """New connections are refused, the ones that there are end."""
        with self._lock:
            self._listener.close()
            self._drop()

    def silence(self) -> None:
        """Take connections, and say nothing to anybody."""
        self._set(_Mode.SILENT)

    def stall(self) -> None:
        """Connections stay open, new ones are taken, nothing passes."""
        self._set(_Mode.STALL)

    def reset(self) -> None:
        """End the connections that there are with RST; new ones are served."""
        with self._lock:
            for pair in self._pairs:
                with contextlib.suppress(OSError):
                    pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._drop()

    def garbage(self) -> None:
        """Clients get random bytes in the place of the server's."""
        self._set(_Mode.GARBAGE)

    def throttle(self, bytes_per_s: float) -> None:
        """All connections together pass so much from the server."""
        with self._lock:
            self._mode, self._bytes_per_s, self._credit = _Mode.PASS, bytes_per_s, 0.0

    def close(self) -> None:
        """End it all."""
        self._stop.set()
        self._thread.join()
        with self._lock:
            self._listener.close()
            self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _set(self, mode: _Mode) -> None:
        with self._lock:
            self._mode, self._bytes_per_s = mode, None

    def _drop(self) -> None:
        for pair in self._pairs:
            for each in pair.sockets():
                each.close()
        self._pairs.clear()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stop.is_set():
            with self._lock:
                now = time.monotonic()
                self._work(now - last)
                last = now
            self._stop.wait(0.0 if self._wait() else _TICK_S)

    def _wait(self) -> bool:
        """Wait a moment for something to do; False where only time helps."""
        with self._lock:
            if self._mode is not _Mode.PASS or self._bytes_per_s is not None:
                return False
            waited = [each for pair in self._pairs for each in pair.sockets()]
            if self._listener.fileno() >= 0:
                waited.append(self._listener)
            if not waited:
                return False
            selector = selectors.DefaultSelector()
            for each in waited:
                selector.register(each, selectors.EVENT_READ)
        with selector:
            return bool(selector.select(_TICK_S))

    def _work(self, passed_s: float) -> None:
        self._accept()
        if self._bytes_per_s is not None:
            self._credit = min(
                self._credit + passed_s * self._bytes_per_s, max(self._bytes_per_s, 1.0)
            )
        for pair in list(self._pairs):
            try:
                self._serve(pair, passed_s)
            except (OSError, EOFError):
                self._pairs.remove(pair)
                for each in pair.sockets():
                    each.close()

    def _accept(self) -> None:
        while self._listener.fileno() >= 0:
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                return
            client.setblocking(False)
            self.accepted += 1
            self._pairs.append(_Pair(client))

    def _serve(self, pair: _Pair, passed_s: float) -> None:
        if self._mode is _Mode.GARBAGE:
            with contextlib.suppress(BlockingIOError):
                pair.client.send(os.urandom(int(passed_s * _GARBAGE_BYTES_PER_S) + 1))
        if self._mode is not _Mode.PASS:
            return
        if pair.server is None:
            self._meet(pair)
        for each in pair.sockets():
            self._move(pair, each)

    def _meet(self, pair: _Pair) -> None:
        """Lead a client to the server once it speaks: a look at the port is no connection."""
        try:
            if not pair.client.recv(1, socket.MSG_PEEK):
                raise EOFError
        except BlockingIOError:
            return
        pair.server = socket.create_connection(("127.0.0.1", self.target_port))
        pair.server.setblocking(False)

    def _move(self, pair: _Pair, source: socket.socket) -> None:
        target = pair.other(source)
        if target is None:
            return
        owed = pair.owed.setdefault(target, bytearray())
        if not owed:
            most = _PIECE
            if source is pair.server and self._bytes_per_s is not None:
                most = min(most, int(self._credit))
                self._credit -= most
            if most < 1:
                return
            try:
                data = source.recv(most)
            except BlockingIOError:
                return
            if not data:
                raise EOFError
            owed += data
        with contextlib.suppress(BlockingIOError):
            del owed[: target.send(owed)]


def _listen(port: int) -> socket.socket:
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    listener.setblocking(False)
    return listener
