"""Remembers wrong API keys by address: they are logged, answered late, and at last not checked."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

import structlog

from service.timers import Clock

log = structlog.get_logger(__name__)

WINDOW_S = 60.0
MAX_WRONG = 20
"""More wrong keys of one address in a window lock it until the window is over."""
TRUST_S = 3600.0
"""An address that sent a right key so recently isn't locked: a stranger may share it."""
FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 2.0
MAX_ADDRESSES = 4096
"""The address that was quiet longest is forgotten first."""


@dataclass(slots=True)
class _Record:
    began_at: float
    wrong: int = 0
    right_at: float = float("-inf")


class KeyGuesses:
    """The wrong keys of the last minute. For one thread."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def must_wait(self, address: str) -> bool:
        """Return whether keys of this address aren't even checked now."""
        record = self._records.get(address)
        if record is None or record.wrong < MAX_WRONG:
            return False
        now = self._clock()
        return now - record.began_at < WINDOW_S and now - record.right_at > TRUST_S

    def note_right(self, address: str) -> None:
        """Note a right key."""
        self._find(address).right_at = self._clock()

    def note_wrong(self, address: str) -> float:
        """Note a wrong key, and log it. Returns the seconds to wait before it is answered."""
        record = self._find(address)
        record.wrong += 1
        if record.wrong == 1:
            log.warning("a wrong API key", address=address)
        elif record.wrong == MAX_WRONG:
            log.warning("many wrong API keys; more of them are not logged", address=address)
        return float(min(FIRST_DELAY_S * 2.0 ** min(record.wrong - 1, 10), LONGEST_DELAY_S))

    def _find(self, address: str) -> _Record:
        now = self._clock()
        record = self._records.setdefault(address, _Record(began_at=now))
        self._records.move_to_end(address)
        if now - record.began_at >= WINDOW_S:
            record.began_at, record.wrong = now, 0
        while len(self._records) > MAX_ADDRESSES:
            self._records.popitem(last=False)
        return record
