"""Decides when a message that wasn't delivered is tried again: soon at first, then over hours."""

from __future__ import annotations

from service.timers import spread

DELAYS_S = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0)
JITTER = 0.2
"""Up to this share is added, so that messages that failed together don't come back together."""


def choose_delay_s(attempts: int, asked_s: float = 0.0) -> float:
    """Return the seconds from the last attempt to the next.

    Args:
        attempts: made so far, from 1.
        asked_s: what the receiver asked for; it is not called sooner.
    """
    planned = DELAYS_S[min(attempts, len(DELAYS_S)) - 1]
    return spread(max(planned, asked_s), 1.0, 1.0 + JITTER)
