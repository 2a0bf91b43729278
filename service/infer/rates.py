"""What there is to say of a camera's frames of late: their rate, and their age at their score."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

RATE_WINDOW_S = 5.0
AGE_WINDOW_S = 30.0
MAX_AGES = 600


class Rate:
    """Events a second over the last few seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=1000)

    def add(self, now: float) -> None:
        """One more."""
        self._times.append(now)

    def per_second(self, now: float) -> float:
        """The rate, as of now."""
        while self._times and now - self._times[0] > RATE_WINDOW_S:
            self._times.popleft()
        return len(self._times) / RATE_WINDOW_S


@dataclass(frozen=True, slots=True)
class AgeQuantiles:
    """Score time less capture time, in seconds."""

    p50: float
    p99: float


class Ages:
    """How old frames were when they were scored, over the last half minute."""

    def __init__(self) -> None:
        self._ages: deque[tuple[float, float]] = deque(maxlen=MAX_AGES)

    def add(self, now: float, age_s: float) -> None:
        """One more."""
        self._ages.append((now, age_s))

    def quantiles(self, now: float) -> AgeQuantiles | None:
        """As of now; None where no frame was scored in that time."""
        recent = sorted(age for at, age in tuple(self._ages) if now - at <= AGE_WINDOW_S)
        if not recent:
            return None
        last = len(recent) - 1
        return AgeQuantiles(recent[round(0.5 * last)], recent[round(0.99 * last)])
