"""Which worker should have which camera: weighted rendezvous hashing, without clock or I/O.

Every worker reckons alone and comes to the same end. A worker more or less moves its own cameras
only.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping


def preference(camera: str, worker: str, capacity: int) -> float:
    """How much a camera is drawn to a worker; the highest wins, in proportion to the capacities.

    -capacity / ln(u), u being a hash in (0, 1) (Schindelhauer and Schomaker, 2005).
    """
    digest = hashlib.blake2b(f"{worker}\0{camera}".encode(), digest_size=8).digest()
    uniform = (int.from_bytes(digest) + 0.5) / 2.0**64
    # Hashes next to 1 are 1 as a float.
    return -capacity / math.log(min(uniform, 1.0 - 2.0**-53))


def shared_out(cameras: Iterable[str], capacities: Mapping[str, int]) -> dict[str, str]:
    """The worker of each camera; none has more than its capacity.

    Where a worker is full it keeps those that are drawn to it the most, and the others go where
    they are drawn to next. Cameras that no worker has room for are absent.
    """
    wishes = sorted(
        (
            (preference(camera, worker, capacity), camera, worker)
            for camera in cameras
            for worker, capacity in capacities.items()
        ),
        reverse=True,
    )
    room = dict(capacities)
    owners: dict[str, str] = {}
    for _, camera, worker in wishes:
        if camera not in owners and room[worker] > 0:
            owners[camera] = worker
            room[worker] -= 1
    return owners
