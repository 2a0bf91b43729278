"""Finds out about a source of normal footage before its frames are read."""

from __future__ import annotations

from model.footage.footage_reader import has_colour, read_frame_rate
from model.footage.footage_search import Source
from service.capture.probe import Probe, ProbeVerdict, probe
from service.errors import BadInput
from service.learn.source_info import SourceInfo

PROBE_TIMEOUT_S = 15.0


def examine_source(source: Source) -> SourceInfo:
    """Find out about a source. Raises: FootageError, BadInput: it can't be read."""
    if not source.is_live:
        return SourceInfo(read_frame_rate(source), has_colour(source), False)
    seen = probe_source(source)
    if seen.verdict is not ProbeVerdict.VIDEO:
        raise BadInput("SOURCES", source.name, seen.reason)
    return describe_probe(seen)


def probe_source(source: Source) -> Probe:
    """Look at a camera or URL in a process of its own, which is given up if it hangs."""
    return probe(str(source.location), PROBE_TIMEOUT_S)


def describe_probe(seen: Probe) -> SourceInfo:
    """Take what a successful probe found."""
    return SourceInfo(seen.fps, seen.has_colour, seen.is_live)
