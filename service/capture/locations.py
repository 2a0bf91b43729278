"""Where a camera is: how ffmpeg must be told, and what it may open from there."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from urllib.parse import quote

from model.footage import URL, split_userinfo

_ESCAPED = re.compile(r"(%[0-9a-fA-F]{2})")
_NOT_ASCII = re.compile(r"[^\x21-\x7e]+")

FILE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,h264,hevc,m4v,"
    "mjpeg,mxf,gif,ivf,wav,mp3,flac,aac"
)
"""What a local file may be: no format that names other files. Sound is known, to be refused."""


DEVICE_FORMAT = "video4linux2"
_DEVICE = re.compile(r"/dev/video\d+")


class Kind(Enum):
    """What a location is."""

    NETWORK = "network"
    DEVICE = "device"
    """A camera of this machine's, as `/dev/video0`."""
    FILE = "file"
    FOLDER = "folder"


_PROTOCOLS = {
    "rtsp": "rtsp,rtsps,rtp,srtp,udp,tcp,tls",
    "rtsps": "rtsp,rtsps,rtp,srtp,udp,tcp,tls",
    "rtmp": "rtmp,rtmps,tcp,tls",
    "http": "http,https,tcp,tls,crypto",
    "https": "http,https,tcp,tls,crypto",
}
"""Schemes that a camera may have, each with what ffmpeg may open on its behalf: a playlist from
the network never reaches a file."""


def kind_of(location: str) -> Kind:
    """A URL, a device, a folder, or (whether it is there or not) a file."""
    if URL.match(location):
        return Kind.NETWORK
    if _DEVICE.fullmatch(location):
        return Kind.DEVICE
    return Kind.FOLDER if Path(location).is_dir() else Kind.FILE


def scheme_of(location: str) -> str:
    """The URL's scheme, in small letters."""
    return location.partition("://")[0].lower()


def is_live(location: str) -> bool:
    """Whether a camera is there, which comes back by itself: a URL or a device."""
    return kind_of(location) in (Kind.NETWORK, Kind.DEVICE)


def protocols(location: str) -> str | None:
    """ffmpeg's `protocol_whitelist` for a location; None where the scheme isn't one of ours."""
    return _PROTOCOLS.get(scheme_of(location)) if URL.match(location) else "file"


def for_ffmpeg(location: str) -> str:
    """The location as ffmpeg takes it: special characters of the credentials percent-encoded.

    Sequences such as `%40` are taken as encoded already.
    """
    if not URL.match(location):
        return location if kind_of(location) is Kind.DEVICE else f"file:{location}"
    scheme, _, rest = location.partition("://")
    userinfo, host = split_userinfo(rest)
    host = _NOT_ASCII.sub(lambda match: quote(match.group()), host)
    if userinfo is None:
        return f"{scheme.lower()}://{host}"
    user, colon, password = userinfo.partition(":")
    return f"{scheme.lower()}://{_encode(user)}{colon}{_encode(password)}@{host}"


def _encode(text: str) -> str:
    parts = _ESCAPED.split(text)
    return "".join(part if _ESCAPED.fullmatch(part) else quote(part, safe="") for part in parts)
