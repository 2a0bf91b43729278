"""Raises the limit on file descriptors, and divides them between visitors and our own work."""

from __future__ import annotations

import resource

WANTED = 65_536
RESERVED = 384
"""Descriptors for our own work: databases, files of clips, receivers, decoders."""
LEAST_FOR_VISITORS = 64


def raise_descriptor_limit() -> int:
    """Raise the limit as far as the system lets us. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return WANTED if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def count_visitors_share(limit: int) -> int:
    """Return how many of the process's descriptors connections of visitors may take."""
    return max(LEAST_FOR_VISITORS, limit - RESERVED)
