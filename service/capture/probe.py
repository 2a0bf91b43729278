"""Finds out whether a location is video, in a process of its own: a hang or crash is bounded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from ipaddress import ip_network
from itertools import chain

import av
import av.logging

from model.footage.decoding import PacketDecoder
from model.footage.footage_error import FootageError, SourceFault
from model.footage.footage_search import find_footage
from model.footage.locations import Location, LocationKind
from model.footage.source_addresses import Network, find_refused_peer
from model.footage.source_pictures import VideoPicture
from model.footage.video_source import OpenOptions, Video, open_video
from model.frames import is_grey
from service.capture.source_policy import read_source_networks

GRACE_S = 5.0
"""What the process may need to start, beyond the time that the source has."""


class ProbeVerdict(StrEnum):
    """What a look at a location gave."""

    VIDEO = "video"
    NOT_VIDEO = "not_video"
    """Something answers, and it is no video."""
    UNREACHABLE = "unreachable"
    """Nothing answers, or it refuses; it may be video at another time."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The verdict, and what is known of a video."""

    verdict: ProbeVerdict
    reason: str = ""
    """Why it is no video, without credentials."""
    fps: float | None = None
    """Frames a second that it declares."""
    has_colour: bool = False
    """Of its first picture."""
    is_live: bool = False
    """Whether it has no end."""
    is_refused: bool = False
    """It rejects the user name and password."""


def probe(location: str, timeout_s: float, networks: Sequence[Network] | None = None) -> Probe:
    """Look at a URL, file or folder: are there pictures? Never raises for what the source does.

    Args: networks: those that a host must be in; None takes the environment's.
    """
    allowed = read_source_networks() if networks is None else networks
    job = json.dumps(
        {"location": location, "timeout_s": timeout_s, "networks": [str(each) for each in allowed]}
    ).encode()
    command = [sys.executable, "-P", "-m", "service.capture.probe"]
    try:
        done = subprocess.run(
            command,
            input=job,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s + GRACE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Probe(ProbeVerdict.UNREACHABLE, "no answer in time")
    if done.returncode < 0:
        return Probe(ProbeVerdict.NOT_VIDEO, "the decoder crashes on it")
    try:
        answer = json.loads(done.stdout)
        return Probe(**answer | {"verdict": ProbeVerdict(answer["verdict"])})
    except (ValueError, KeyError, TypeError):
        return Probe(ProbeVerdict.UNREACHABLE, "the look at it failed")


def look(text: str, timeout_s: float, networks: tuple[Network, ...] = ()) -> Probe:
    """Look from within this process; it may hang for as long as a name server does."""
    location = Location.parse(text)
    if location.kind is not LocationKind.NETWORK and not text.startswith("/"):
        return Probe(ProbeVerdict.NOT_VIDEO, "it is neither a URL nor an absolute path")
    if location.kind is LocationKind.FOLDER:
        try:
            find_footage([text])
        except FootageError as error:
            return Probe(ProbeVerdict.NOT_VIDEO, error.reason)
        return Probe(ProbeVerdict.VIDEO)
    options = OpenOptions(connect_timeout_s=timeout_s, read_timeout_s=timeout_s, networks=networks)
    try:
        with open_video(location, options) as video:
            picture = _first_picture(video)
            problem = find_refused_peer(networks)
            if problem is not None:
                return Probe(ProbeVerdict.NOT_VIDEO, problem)
            if picture is None:
                return Probe(ProbeVerdict.NOT_VIDEO, "it holds no pictures")
            has_colour = not is_grey(picture.bgr())
            fps = video.fps if video.has_clock else None
            return Probe(ProbeVerdict.VIDEO, "", fps, has_colour, video.is_live)
    except FootageError as error:
        is_away = error.fault is not SourceFault.NOT_VIDEO
        verdict = ProbeVerdict.UNREACHABLE if is_away else ProbeVerdict.NOT_VIDEO
        is_refused = error.fault is SourceFault.REFUSED
        return Probe(verdict, error.reason, is_refused=is_refused)


def _first_picture(video: Video) -> VideoPicture | None:
    decoder = PacketDecoder(video)
    decoded = chain.from_iterable(map(decoder.decode, video.packets()))
    return next(decoded, None) or next(iter(decoder.flush()), None)


def _main() -> None:
    av.logging.set_level(None)
    job = json.loads(sys.stdin.buffer.readline())
    networks = tuple(map(ip_network, job["networks"]))
    print(json.dumps(asdict(look(job["location"], job["timeout_s"], networks))), flush=True)


if __name__ == "__main__":
    _main()
