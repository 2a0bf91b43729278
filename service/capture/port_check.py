"""Whether a network source's port answers at all: a dead camera costs a packet, and no process."""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time

from model.footage.locations import Location
from model.footage.source_addresses import find_address_problem
from service.capture.source_policy import read_source_networks

LOOK_S = 0.2
"""The time between two checks whether the capture must stop."""


def address_of(location: Location) -> tuple[str, int] | None:
    """Host and port that a URL leads to; None where it doesn't say, or a proxy is asked instead."""
    if location.is_http and os.environ.get("http_proxy"):
        return None
    host, port = location.host, location.port
    return None if host is None or port is None else (host, port)


def unreachable(location: Location, timeout_s: float, stop: threading.Event) -> str:
    """Why the source's port can't be reached; empty where it answers, or there is none to ask.

    Gives up soon after `stop` is set, but for the look-up of a name.
    """
    address = address_of(location)
    if address is None:
        return ""
    if find_address_problem(location, read_source_networks(), looks_up=True):
        return ""  # the process says why it may not be connected to
    until = time.monotonic() + timeout_s
    try:
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return "the host's name is not known"
    reason = "no answer in time"
    for family, kind, protocol, _, where in found:
        with socket.socket(family, kind, protocol) as tried:
            reason = _connect(tried, where, until, stop)
        if not reason:
            break
    return reason


def _connect(
    tried: socket.socket, where: tuple[object, ...], until: float, stop: threading.Event
) -> str:
    tried.setblocking(False)
    try:
        tried.connect(where)
    except BlockingIOError:
        pass
    except OSError as error:
        return _reason(error.errno or 0)
    else:
        return ""
    waiting = select.poll()
    waiting.register(tried, select.POLLOUT)
    while not stop.is_set() and (rest_s := until - time.monotonic()) > 0:
        if waiting.poll(1000.0 * min(rest_s, LOOK_S)):
            return _reason(tried.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    return "no answer in time"


def _reason(number: int) -> str:
    if not number:
        return ""
    known = {errno.ECONNREFUSED: "the connection is refused", errno.ETIMEDOUT: "no answer in time"}
    return known.get(number, f"it can't be reached: {os.strerror(number)}")
