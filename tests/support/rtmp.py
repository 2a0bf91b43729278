"""A camera that speaks RTMP: as much of the protocol as a player needs."""

from __future__ import annotations

import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HANDSHAKE = 1536
OUR_CHUNK = 1 << 20
SET_CHUNK_SIZE, WINDOW, BANDWIDTH, COMMAND = 1, 5, 6, 20
FLV_HEADER = 9 + 4
HEADERS = (11, 7, 3, 0)
"""Bytes of a chunk's header, by its form."""


@dataclass
class _Message:
    size: int = 0
    kind: int = 0
    body: bytes = b""


def _text(value: str) -> bytes:
    return struct.pack(">BH", 2, len(value)) + value.encode()


def _number(value: float) -> bytes:
    return struct.pack(">Bd", 0, value)


def _object(**fields: str) -> bytes:
    pairs = (struct.pack(">H", len(key)) + key.encode() + _text(fields[key]) for key in fields)
    return b"\x03" + b"".join(pairs) + b"\x00\x00\x09"


NOTHING = b"\x05"


class _Player(socketserver.StreamRequestHandler):
    """One client, who is played the file's tags at their pace."""

    server: _Server

    def handle(self) -> None:
        try:
            self._serve()
        except (EOFError, ConnectionError):
            return

    def _serve(self) -> None:
        self._exactly(1)
        asked = self._exactly(HANDSHAKE)
        self.wfile.write(b"\x03" + bytes(HANDSHAKE) + asked)
        self._exactly(HANDSHAKE)
        for name, transaction in self._commands():
            if name == "connect":
                self._send(WINDOW, struct.pack(">I", 2_500_000))
                self._send(BANDWIDTH, struct.pack(">IB", 2_500_000, 2))
                self._send(SET_CHUNK_SIZE, struct.pack(">I", OUR_CHUNK))
                level = _object(level="status", code="NetConnection.Connect.Success")
                self._send(COMMAND, _text("_result") + _number(transaction) + NOTHING + level)
            elif name == "createStream":
                body = _text("_result") + _number(transaction) + NOTHING + _number(1)
                self._send(COMMAND, body)
            elif name == "play":
                status = _object(level="status", code="NetStream.Play.Start")
                self._send(COMMAND, _text("onStatus") + _number(0) + NOTHING + status, stream=1)
                self._play()
                return

    def _play(self) -> None:
        began = time.monotonic()
        data, at = self.server.video, FLV_HEADER
        while at < len(data):
            kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
            time_ms = int.from_bytes(data[at + 4 : at + 7], "big")
            time.sleep(max(0.0, time_ms / 1000 - (time.monotonic() - began)))
            self._send(kind, data[at + 11 : at + 11 + size], time_ms, stream=1)
            at += 11 + size + 4

    def _send(self, kind: int, body: bytes, time_ms: int = 0, stream: int = 0) -> None:
        channel = 3 if kind == COMMAND else 2 if kind < COMMAND and not stream else 4
        head = bytes([channel]) + time_ms.to_bytes(3, "big") + len(body).to_bytes(3, "big")
        pieces = [body[i : i + 128] for i in range(0, len(body), 128)]
        if kind != COMMAND and stream:  # after we have said how large our chunks are
            pieces = [body]
        whole = bytes([0xC0 | channel]).join(pieces)
        if len(body) > 128 and kind == COMMAND:
            raise ValueError("a command is too long for one chunk")
        self.wfile.write(head + bytes([kind]) + struct.pack("<I", stream) + whole)

    def _commands(self) -> Iterator[tuple[str, float]]:
        channels: dict[int, _Message] = {}
        chunk = 128
        while True:
            first = self._exactly(1)[0]
            message = channels.setdefault(first & 63, _Message())
            head = self._exactly(HEADERS[first >> 6])
            if len(head) >= HEADERS[1]:
                message.size, message.kind = int.from_bytes(head[3:6], "big"), head[6]
            message.body += self._exactly(min(chunk, message.size - len(message.body)))
            if len(message.body) < message.size:
                continue
            body, message.body = message.body, b""
            if message.kind == SET_CHUNK_SIZE:
                chunk = int.from_bytes(body[:4], "big")
            elif message.kind == COMMAND:
                length = int.from_bytes(body[1:3], "big")
                yield body[3 : 3 + length].decode(), struct.unpack_from(">d", body, 4 + length)[0]

    def _exactly(self, count: int) -> bytes:
        data = self.rfile.read(count)
        if len(data) < count:
            raise EOFError
        return data


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    video = b""


@contextmanager
def rtmp_camera(video: Path) -> Iterator[str]:
    """Play an FLV from its start to each client; yields the URL."""
    with _Server(("127.0.0.1", 0), _Player) as server:
        server.video = video.read_bytes()
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"rtmp://127.0.0.1:{server.server_address[1]}/live/one"
        finally:
            server.shutdown()
            thread.join()
