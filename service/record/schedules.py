"""Hours in which a camera is armed: what the API takes, the database holds and the recorder obeys.

They are local hours of the camera's zone: daylight saving moves them with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

log = structlog.stdlib.get_logger(__name__)

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""In the order of `datetime.weekday`."""
LAST_TIME_S = 253_402_214_400.0
"""The last day of the year 9999 begins: no zone's clock goes beyond what Python can write."""
MACHINE_ZONES = ("localtime", "posixrules", "Factory")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")


def _check_zone(name: str) -> str:
    if name in MACHINE_ZONES:
        raise ValueError("must be a zone that is the same everywhere, such as Europe/Berlin")
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no such time zone here; names are such as Europe/Berlin") from None
    return name


def _check_clock(time: str) -> str:
    if not _CLOCK.fullmatch(time):
        raise ValueError("must be HH:MM, from 00:00 to 24:00")
    return time


TimeZone = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_check_zone)]
ClockTime = Annotated[
    str,
    AfterValidator(_check_clock),
    WithJsonSchema({"type": "string", "pattern": f"^({_CLOCK.pattern})$", "examples": ["18:00"]}),
]


class Hours(BaseModel):
    """The same hours of some days of the week."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    days: list[Day] = Field(min_length=1, max_length=7)
    """The days on which the hours begin."""
    since: ClockTime = Field(alias="from", description="HH:MM, of 24 hours.")
    until: ClockTime = Field(
        alias="to", description="HH:MM, not included; before `from` it is of the next day."
    )

    @field_validator("since")
    @classmethod
    def _check_start(cls, value: str) -> str:
        if value == "24:00":
            raise ValueError("must be before 24:00; a day begins at 00:00")
        return value

    @model_validator(mode="after")
    def _check_length(self) -> Hours:
        if self.since == self.until:
            raise ValueError(
                f"from and to must differ, and are both {self.since}: "
                "a whole day is from 00:00 to 24:00"
            )
        return self

    def contain(self, weekday: int, clock: str) -> bool:
        """Return whether that time of that day (0 is Monday) is among the hours."""
        # HH:MM sorts as text.
        if self.since < self.until:
            return DAYS[weekday] in self.days and self.since <= clock < self.until
        begun = DAYS[weekday] in self.days and clock >= self.since
        return begun or (DAYS[weekday - 1] in self.days and clock < self.until)


class Schedule(BaseModel):
    """A camera is armed in any of these hours, by the clock of the zone."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "timezone": "Europe/Berlin",
                    "hours": [
                        {"days": ["mon", "tue", "wed", "thu"], "from": "18:00", "to": "07:00"},
                        {"days": ["sat", "sun"], "from": "00:00", "to": "24:00"},
                    ],
                }
            ]
        },
    )

    timezone: TimeZone
    hours: list[Hours] = Field(min_length=1, max_length=50)

    def is_armed(self, at: float) -> bool:
        """Return whether the camera is armed at this time, in seconds since 1970."""
        local = datetime.fromtimestamp(min(max(at, 0.0), LAST_TIME_S), ZoneInfo(self.timezone))
        clock = f"{local.hour:02}:{local.minute:02}"
        return any(hours.contain(local.weekday(), clock) for hours in self.hours)


def read_schedule(stored: Mapping[str, object] | None) -> Schedule | None:
    """Return the schedule that a stream's row holds; None: it is always armed.

    A schedule that can't be read (its time zone isn't on this machine, say) arms always, too: an
    alert too many is better than a camera that is off without anyone knowing.
    """
    return None if stored is None else _parse(json.dumps(stored, sort_keys=True))


@lru_cache(maxsize=4096)
def _parse(text: str) -> Schedule | None:
    try:
        return Schedule.model_validate_json(text)
    except ValueError as error:
        log.error("a schedule can't be read: the camera is always armed", error=str(error))
        return None


def is_armed(stored: Mapping[str, object] | None, at: float) -> bool:
    """Return whether a stream with that schedule is armed at a time, in seconds since 1970."""
    schedule = read_schedule(stored)
    return schedule is None or schedule.is_armed(at)
