"""Reads a picture's kind and size from its header, before a decoder runs."""

from __future__ import annotations

import struct

MAX_PIXELS = 50_000_000
"""Larger pictures are refused: no camera makes them, and a small file may declare them."""
_JPEG_END = 0xD9
_JPEG_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_NOT_FRAMES = frozenset({0xC4, 0xC8, 0xCC})


def is_picture(head: bytes) -> bool:
    """Return whether a file that starts so declares to be a picture of an accepted kind."""
    return (
        head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
        or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")
        or (head.startswith(b"BM") and len(head) >= 18 and head[6:10] == b"\0\0\0\0")
    )


def read_declared_size(data: bytes) -> tuple[int, int] | None:
    """Return the width and height that the header declares; None if it is no such picture.

    The decoders allocate what is declared here, so a small file can't need more than it.
    """
    if not is_picture(data[:32]):
        return None
    try:
        if data.startswith(b"\x89PNG"):
            width, height = struct.unpack_from(">II", data, 16)
        elif data.startswith(b"BM"):
            width, height = _read_bmp_size(data)
        elif data.startswith(b"RIFF"):
            return _read_webp_size(data)
        else:
            return _read_jpeg_size(data)
    except (struct.error, IndexError):
        return None
    return width, height


def _read_bmp_size(data: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 14)[0] == 12:  # the oldest header has 16-bit sizes
        width, height = struct.unpack_from("<HH", data, 18)
        return width, height
    width, height = struct.unpack_from("<ii", data, 18)
    return abs(width), abs(height)  # a negative height stores the rows top-down


def _read_webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return (
            int.from_bytes(data[24:27], "little") + 1,
            int.from_bytes(data[27:30], "little") + 1,
        )
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


def _read_jpeg_size(data: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 4 <= len(data):
        marker = data[place + 1]
        # Decoders skip other bytes and fill bytes before a marker: a header there is a decoy.
        if data[place] != 0xFF or marker == 0xFF:
            place += 1
        elif marker == 0x00:
            place += 2
        elif marker == _JPEG_END:
            return None
        elif marker in _JPEG_STANDALONE:
            place += 2
        elif 0xC0 <= marker <= 0xCF and marker not in _JPEG_NOT_FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        else:
            place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    return None


def is_too_large(data: bytes) -> bool:
    """Return whether a picture declares more than `MAX_PIXELS`."""
    size = read_declared_size(data)
    return size is not None and size[0] * size[1] > MAX_PIXELS
