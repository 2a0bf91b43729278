"""Defines the kept figures: unit, noise, and the better direction. It measures nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Better(StrEnum):
    """The direction in which a figure should go."""

    MORE = "more"
    LESS = "less"
    NEITHER = "neither"
    """It is reported, and never said to have fallen."""


@dataclass(frozen=True, slots=True)
class Noise:
    """The difference that two measurements of the same code may have."""

    amount: float
    relative: bool
    """Whether `amount` is a share of the kept value; else it has the figure's unit."""
    reason: str
    """Why it is that much, in one line."""

    def limit(self, kept: float) -> float:
        """Return the largest difference from a kept value that is noise, in the figure's unit."""
        return abs(kept) * self.amount if self.relative else self.amount

    def describe(self, unit: str) -> str:
        """Format the noise for people: `10 %` or `0.05 points`."""
        if self.relative:
            return f"{100.0 * self.amount:g} %"
        return f"{self.amount:g} {'points' if unit == '%' else unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Definition:
    """One figure."""

    title: str
    unit: str
    """Empty for a plain number."""
    better: Better
    noise: Noise
    digits: int = 1
    """Digits after the point when it is displayed or kept."""
    machine_bound: bool = False
    """Whether it is compared only with a value kept on the same kind of machine."""

    def format_value(self, value: float) -> str:
        """Format a value with its unit."""
        return f"{value:.{self.digits}f} {self.unit}".rstrip()


_AUC = Noise(
    0.05, False, "scores repeat to the digit on one machine; 8-bit arithmetic differs a bit"
)
_COUNT = Noise(0.0, False, "the same frames give the same events")
_RATIO = Noise(0.10, True, "both sides are CPU time of one run; caches and turbo still move it")
_RATE = Noise(0.10, True, "other work on the machine takes cores from it")
_AGE = Noise(0.30, True, "the slowest frames of half a minute: few, and near overload very uneven")
_START = Noise(0.30, True, "a few seconds, polled every 0.2 s, with a disk that may be cold")
_MEMORY = Noise(0.05, True, "allocators keep more or less of what they freed")
_GROWING = Noise(0.10, True, "it still grows in the half minute that is measured")
_CAPTURE = Noise(
    0.10, True, "a process of about 12 MB, and what it shares with its neighbours varies"
)
_ABNORMAL = Noise(
    1.0, False, "the clip begins again during the run, and a few frames after that are abnormal"
)
_SIZE = Noise(0.02, True, "it is counted, not measured: 2 % lets small changes pass")
_SUITE = Noise(0.20, True, "much of it is waiting, and other work on the machine slows the rest")
_NO_NOISE = Noise(0.0, True, "it is counted")

MORE, LESS, NEITHER = Better.MORE, Better.LESS, Better.NEITHER

DEFINITIONS: dict[str, Definition] = {
    "auc_ped2_judged": Definition("causal AUC of ped2-judged on Ped2", "%", MORE, _AUC, 2),
    "auc_ped2_fast": Definition("causal AUC of ped2-fast on Ped2", "%", MORE, _AUC, 2),
    "auc_ped2_fast_start": Definition(
        "causal AUC of ped2-fast, Ped2's first 3 clips", "%", MORE, _AUC, 2
    ),
    "events_found_ped2_judged": Definition("events found by ped2-judged", "", MORE, _COUNT, 0),
    "events_false_ped2_judged": Definition("false events of ped2-judged", "", LESS, _COUNT, 0),
    "events_found_ped2_fast": Definition("events found by ped2-fast", "", MORE, _COUNT, 0),
    "events_false_ped2_fast": Definition("false events of ped2-fast", "", LESS, _COUNT, 0),
    "network_times_reference": Definition(
        "ped2-fast, times the reference form's frames/s a core", "", MORE, _RATIO, 1, True
    ),
    "service_share_of_engine": Definition(
        "16 cameras: frames per CPU second, of the engine alone", "%", MORE, _RATIO, 1, True
    ),
    "service_per_cpu_second": Definition(
        "16 cameras: frames per CPU second of the service", "1/s", MORE, _RATE, 1, True
    ),
    "engine_per_cpu_second": Definition(
        "frames per CPU second of the engine alone", "1/s", MORE, _RATE, 1, True
    ),
    "service_fps": Definition("16 cameras: scored of 160 frames/s", "1/s", MORE, _RATE, 1, True),
    "service_age_p99_ms": Definition(
        "16 cameras: 99th percentile of a frame's age", "ms", LESS, _AGE, 0, True
    ),
    "service_start_s": Definition("service: start until it is ready", "s", LESS, _START, 1, True),
    "service_all_scored_s": Definition(
        "service: 16 cameras registered until all have a score", "s", LESS, _START, 1, True
    ),
    "worker_rss_mb": Definition("16 cameras: RSS of the worker", "MB", LESS, _MEMORY, 0),
    "worker_pss_mb": Definition("16 cameras: PSS of the worker", "MB", LESS, _MEMORY, 0),
    "front_end_rss_mb": Definition("16 cameras: RSS of the front end", "MB", LESS, _GROWING, 0),
    "front_end_pss_mb": Definition("16 cameras: PSS of the front end", "MB", LESS, _GROWING, 0),
    "capture_pss_mb": Definition(
        "PSS of one camera's capture process, median of 16", "MB", LESS, _CAPTURE, 1
    ),
    "drawn_share_of_engine": Definition(
        "16 cameras, drawn scene, demo: frames per CPU second, of the engine alone",
        "%",
        MORE,
        _RATIO,
        1,
        True,
    ),
    "drawn_abnormal": Definition(
        "16 cameras, drawn scene, demo: abnormal scores", "%", LESS, _ABNORMAL, 1
    ),
    "quiet_served": Definition(
        "24 cameras, 22 of them still: scored of 240 frames/s", "%", MORE, _RATE, 1, True
    ),
    "quiet_age_p99_ms": Definition(
        "24 cameras, 22 of them still: 99th percentile of a frame's age", "ms", LESS, _AGE, 0, True
    ),
    "page_kb": Definition("all files of the page", "kB", LESS, _SIZE, 1),
    "page_gzip_kb": Definition("all files of the page, each by gzip", "kB", LESS, _SIZE, 1),
    "suite_s": Definition("test suite", "s", LESS, _SUITE, 0, True),
    "lines_service": Definition("lines of Python in service/", "", LESS, _SIZE, 0),
    "lines_model": Definition("lines of Python in model/", "", LESS, _SIZE, 0),
    "lines_scripts": Definition("lines of Python in scripts/", "", LESS, _SIZE, 0),
    "lines_tests": Definition("lines of Python in tests/", "", NEITHER, _NO_NOISE, 0),
}
"""The figures by name, in the order in which they are displayed and kept."""
