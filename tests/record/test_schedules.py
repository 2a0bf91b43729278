"""Hours in which a camera is armed: by the clock on the wall, over midnight, over the year."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from service.record.schedules import DAYS, Schedule, is_armed, read_schedule

WORK = {"days": ["mon", "tue"], "from": "08:00", "to": "18:00"}
NIGHT = {"days": ["fri"], "from": "22:00", "to": "06:00"}


def _stored(*hours: dict[str, object], timezone: str = "UTC") -> dict[str, object]:
    return {"timezone": timezone, "hours": list(hours)}


def _at(text: str, timezone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone)).timestamp()


@pytest.mark.parametrize(
    ("moment", "armed"),
    [
        ("2026-11-23 07:59:59.999", False),  # a Monday
        ("2026-11-23 08:00:00", True),
        ("2026-11-23 17:59:59.999", True),
        ("2026-11-23 18:00:00", False),
        ("2026-11-24 12:00:00", True),
        ("2026-11-25 12:00:00", False),
    ],
)
def test_hours_hold_from_their_beginning_to_just_before_their_end(moment: str, armed: bool) -> None:
    assert is_armed(_stored(WORK), _at(moment)) is armed


@pytest.mark.parametrize(
    ("moment", "armed"),
    [
        ("2026-11-27 05:00", False),  # a Friday: Thursday's night isn't armed
        ("2026-11-27 21:59", False),
        ("2026-11-27 22:00", True),
        ("2026-11-28 00:00", True),
        ("2026-11-28 05:59", True),
        ("2026-11-28 06:00", False),
        ("2026-11-28 22:30", False),
    ],
)
def test_hours_that_end_before_they_begin_go_over_midnight(moment: str, armed: bool) -> None:
    assert is_armed(_stored(NIGHT), _at(moment)) is armed


def test_a_sundays_night_ends_on_monday() -> None:
    stored = _stored({"days": ["sun"], "from": "23:00", "to": "01:00"})
    assert is_armed(stored, _at("2026-11-30 00:30"))
    assert not is_armed(stored, _at("2026-11-29 00:30"))


def test_without_a_schedule_it_is_always_armed_and_whole_days_leave_no_gap() -> None:
    assert is_armed(None, 0.0)
    whole = _stored({"days": list(DAYS), "from": "00:00", "to": "24:00"})
    split = _stored(*({"days": list(DAYS), "from": a, "to": b} for a, b in
                      (("00:00", "12:30"), ("12:30", "00:00"))))  # fmt: skip
    for minute in range(0, 7 * 1440, 17):
        at = 1_795_000_000.0 + 60.0 * minute
        assert is_armed(whole, at)
        assert is_armed(split, at)
    for at in (-1e18, -5.0, 1e18):
        assert is_armed(whole, at)


def test_the_hours_are_those_of_the_zone_summer_and_winter() -> None:
    """Seen from UTC, 08:00 in Berlin comes an hour earlier in summer."""
    stored = _stored({"days": list(DAYS), "from": "08:00", "to": "18:00"}, timezone="Europe/Berlin")
    for day, begins in (("2026-01-14", "07:00"), ("2026-07-15", "06:00")):
        start = _at(f"{day} {begins}")
        assert not is_armed(stored, start - 0.001)
        assert is_armed(stored, start)
        assert is_armed(stored, start + 36_000.0 - 0.001)
        assert not is_armed(stored, start + 36_000.0)


@pytest.mark.parametrize(
    ("day", "hours_armed"),
    [("2026-03-28", 4.0), ("2026-03-29", 3.0), ("2026-10-25", 5.0), ("2026-10-26", 4.0)],
)
def test_a_night_in_which_the_clock_is_changed_is_shorter_or_longer(
    day: str, hours_armed: float
) -> None:
    stored = _stored({"days": list(DAYS), "from": "00:30", "to": "04:30"}, timezone="Europe/Berlin")
    midnight = _at(day, "Europe/Berlin")
    armed = [is_armed(stored, midnight + 60.0 * minute) for minute in range(12 * 60)]
    assert sum(armed) / 60.0 == hours_armed
    assert sum(a != b for a, b in itertools.pairwise(armed)) == 2, "one stretch"


def test_hours_that_the_clock_leaps_over_are_left_out() -> None:
    stored = _stored({"days": ["sun"], "from": "02:00", "to": "02:30"}, timezone="Europe/Berlin")
    begins = datetime(2026, 3, 28, 23, tzinfo=UTC)
    moments = [(begins + timedelta(minutes=m)).timestamp() for m in range(600)]
    assert not any(is_armed(stored, at) for at in moments)


@pytest.mark.parametrize(
    ("stored", "where", "reason"),
    [
        (_stored(WORK, timezone="Europe/Atlantis"), ("timezone",), "no such time zone"),
        (_stored(WORK, timezone="../../etc/passwd"), ("timezone",), "no such time zone"),
        (_stored(WORK, timezone="Europe"), ("timezone",), "no such time zone"),
        (_stored(WORK, timezone="localtime"), ("timezone",), "the same everywhere"),
        (_stored(WORK, timezone="a\0b"), ("timezone",), "no such time zone"),
        (_stored(WORK, timezone=""), ("timezone",), "at least 1"),
        (_stored(), ("hours",), "at least 1"),
        (_stored(*[WORK] * 51), ("hours",), "at most 50"),
        (_stored(WORK | {"days": []}), ("hours", 0, "days"), "at least 1"),
        (_stored(WORK | {"days": ["Monday"]}), ("hours", 0, "days", 0), "'mon', 'tue'"),
        (_stored(WORK | {"from": "8:00"}), ("hours", 0, "from"), "must be HH:MM"),
        (_stored(WORK | {"from": "24:00"}), ("hours", 0, "from"), "before 24:00"),
        (_stored(WORK | {"to": "24:01"}), ("hours", 0, "to"), "must be HH:MM"),
        (_stored(WORK | {"to": "18:00\n"}), ("hours", 0, "to"), "must be HH:MM"),
        (_stored(WORK | {"to": 18}), ("hours", 0, "to"), "string"),
        (_stored(NIGHT, WORK | {"to": "08:00"}), ("hours", 1), "both 08:00"),
        (_stored(WORK | {"till": "18:00"}), ("hours", 0, "till"), "not permitted"),
        ({"hours": [WORK]}, ("timezone",), "required"),
    ],
)
def test_a_schedule_that_cannot_be_names_the_place(
    stored: dict[str, object], where: tuple[str | int, ...], reason: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        Schedule.model_validate(stored)
    (error,) = raised.value.errors()
    assert error["loc"] == where
    assert reason in error["msg"]


def test_a_stored_schedule_that_cannot_be_read_arms_always() -> None:
    assert read_schedule(_stored(WORK, timezone="Europe/Atlantis")) is None
    assert is_armed({"hours": 3}, 0.0)


def test_a_schedule_is_stored_as_it_was_given() -> None:
    given = _stored(WORK, NIGHT, timezone="Europe/Berlin")
    made = Schedule.model_validate(given)
    stored = made.model_dump(mode="json", by_alias=True)
    assert stored == given
    assert read_schedule(stored) == made
