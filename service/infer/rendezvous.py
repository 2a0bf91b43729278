"""Computes which worker should have which camera by weighted rendezvous hashing: pure functions.

Every worker computes it alone, with the same result. When a worker joins or leaves, no cameras move
but those that it gets or had.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping


def compute_preference(camera: str, worker: str, capacity: int) -> float:
    """Compute how strongly a camera prefers a worker. The highest wins, so that workers get cameras
    in proportion to their capacities.

    -capacity / ln(u), u being a hash in (0, 1) (Schindelhauer and Schomaker, 2005).
    """
    digest = hashlib.blake2b(f"{worker}\0{camera}".encode(), digest_size=8).digest()
    uniform = (int.from_bytes(digest) + 0.5) / 2.0**64
    # Hashes next to 1 are 1 as a float.
    return -capacity / math.log(min(uniform, 1.0 - 2.0**-53))


def assign_cameras(cameras: Iterable[str], capacities: Mapping[str, int]) -> dict[str, str]:
    """Assign each camera to a worker, none of which gets more than its capacity.

    A full worker keeps the cameras that prefer it most, and the others go to the worker that they
    prefer next. Cameras that no worker has room for are absent.
    """
    wishes = sorted(
        (
            (compute_preference(camera, worker, capacity), camera, worker)
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
