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
    """Accepts connections and sends nothing; open connections are held, too."""
    STALL = "stall"
    GARBAGE = "garbage"


@dataclass(eq=False)
class _Pair:
    """A client, and the server that it is connected to once it has sent something."""

    client: socket.socket
    server: socket.socket | None = None
    owed: dict[socket.socket, bytearray] = field(default_factory=dict)
    """Bytes that still have to be written to each socket."""
    is_new: bool = True

    def find_other(self, one: socket.socket) -> socket.socket | None:
        return self.server if one is self.client else self.client

    def list_sockets(self) -> list[socket.socket]:
        return [each for each in (self.client, self.server) if each is not None]


class Relay:
    """Passes everything on to a port of this machine, until it is asked to misbehave.

    Any thread may call it; a change is in force when the call returns.
    """

    def __init__(self, target_port: int, port: int = 0) -> None:
        """Args: port: where it listens; 0 takes a free one, which it keeps."""
        self.target_port = target_port
        self._listener = _listen(port)
        self.port = int(self._listener.getsockname()[1])
        self.accepted = 0
        """Number of connections so far, those that sent nothing included."""
        self._mode = _Mode.PASS
        self._bytes_per_s: float | None = None
        self._credit = 0.0
        self._pairs: list[_Pair] = []
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def pass_through(self) -> None:
        """Pass everything on; stalled connections go on."""
        with self._lock:
            if self._listener.fileno() < 0:
                self._listener = _listen(self.port)
            if self._mode is _Mode.GARBAGE:
                self._drop()
            self._mode, self._bytes_per_s = _Mode.PASS, None

    def refuse(self) -> None:
        """Refuse new connections, and end the open ones."""
        with self._lock:
            self._listener.close()
            self._drop()

    def silence(self) -> None:
        """Accept connections, and send nothing."""
        self._set(_Mode.SILENT)

    def stall(self) -> None:
        """Accept connections and keep them open, but pass nothing on."""
        self._set(_Mode.STALL)

    def reset(self) -> None:
        """End the open connections with RST; serve new ones."""
        with self._lock:
            for pair in self._pairs:
                with contextlib.suppress(OSError):
                    pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._drop()

    def send_garbage(self) -> None:
        """Send random bytes to the clients in place of the server's."""
        self._set(_Mode.GARBAGE)

    def throttle(self, bytes_per_s: float) -> None:
        """Limit what all connections together pass from the server."""
        with self._lock:
            self._mode, self._bytes_per_s, self._credit = _Mode.PASS, bytes_per_s, 0.0

    def close(self) -> None:
        """Stop the relay, and close all connections."""
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
            for each in pair.list_sockets():
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
        """Wait a moment for something to do; returns False where only waiting helps."""
        with self._lock:
            if self._mode is not _Mode.PASS or self._bytes_per_s is not None:
                return False
            waited = [each for pair in self._pairs for each in pair.list_sockets()]
            if self._listener.fileno() >= 0:
                waited.append(self._listener)
            if not waited:
                return False
            selector = selectors.DefaultSelector()
            for each in waited:
                selector.register(each, selectors.EVENT_READ)
        with selector:
            return bool(selector.select(_TICK_S))

    def _work(self, elapsed_s: float) -> None:
        self._accept()
        if self._bytes_per_s is not None:
            self._credit = min(
                self._credit + elapsed_s * self._bytes_per_s, max(self._bytes_per_s, 1.0)
            )
        for pair in list(self._pairs):
            try:
                self._serve(pair, elapsed_s)
            except (OSError, EOFError):
                self._pairs.remove(pair)
                for each in pair.list_sockets():
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

    def _serve(self, pair: _Pair, elapsed_s: float) -> None:
        if self._mode is _Mode.GARBAGE:
            with contextlib.suppress(BlockingIOError):
                pair.client.send(os.urandom(int(elapsed_s * _GARBAGE_BYTES_PER_S) + 1))
        if self._mode is not _Mode.PASS:
            return
        if pair.server is None:
            self._connect_server(pair)
        for each in pair.list_sockets():
            self._move(pair, each)

    def _connect_server(self, pair: _Pair) -> None:
        """Connect a client to the server once it sends something, which a port probe never does."""
        try:
            if not pair.client.recv(1, socket.MSG_PEEK):
                raise EOFError
        except BlockingIOError:
            return
        pair.server = socket.create_connection(("127.0.0.1", self.target_port))
        pair.server.setblocking(False)

    def _move(self, pair: _Pair, source: socket.socket) -> None:
        target = pair.find_other(source)
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
