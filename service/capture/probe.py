"""Looks whether a location is video, in a process of its own: a hang or crash is bounded."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum

import av.logging

from service.capture.decoding import decoded
from service.capture.opening import OpenError, open_video
from service.capture.wire import Fault

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
    """The verdict, and why, in words without credentials."""

    verdict: ProbeVerdict
    reason: str = ""


def probe(location: str, timeout_s: float) -> Probe:
    """Look at a URL or file: is there a picture? Never raises for what the source does."""
    job = json.dumps({"location": location, "timeout_s": timeout_s}).encode()
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
        return Probe(ProbeVerdict(answer["verdict"]), str(answer["reason"]))
    except (ValueError, KeyError, TypeError):
        return Probe(ProbeVerdict.UNREACHABLE, "the look at it failed")


def look(location: str, timeout_s: float) -> Probe:
    """Look from within this process; it may hang for as long as a name server does."""
    if not location.startswith("/") and "://" not in location:
        return Probe(ProbeVerdict.NOT_VIDEO, "it is neither a URL nor an absolute path")
    try:
        with open_video(
            location, connect_timeout_s=timeout_s, read_timeout_s=timeout_s
        ) as container:
            found = next(decoded(container), None)
    except OpenError as error:
        verdict = {
            Fault.NOT_VIDEO: ProbeVerdict.NOT_VIDEO,
            Fault.UNREACHABLE: ProbeVerdict.UNREACHABLE,
            Fault.REFUSED: ProbeVerdict.UNREACHABLE,
        }[error.fault]
        return Probe(verdict, error.reason)
    if found is None:
        return Probe(ProbeVerdict.NOT_VIDEO, "it holds no pictures")
    return Probe(ProbeVerdict.VIDEO)


def _main() -> None:
    av.logging.set_level(None)
    job = json.loads(sys.stdin.buffer.readline())
    found = look(job["location"], job["timeout_s"])
    print(json.dumps({"verdict": found.verdict.value, "reason": found.reason}), flush=True)


if __name__ == "__main__":
    _main()
