"""Measures the figures, one thing after the other, each in processes of its own."""

from __future__ import annotations

import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.bundles.catalog import find_bundle
from model.engines.names import EngineName
from scripts.regression.definitions import DEFINITIONS
from scripts.regression.kept import Origin
from scripts.regression.ped2 import ENGINE, FIRST, Ped2Answer
from scripts.regression.verdicts import NotMeasured, Result
from service.page import STATIC
from service.tether import tether_command
from service.tools.bench.rtsp import is_installed

ROOT = Path(__file__).resolve().parents[2]
SHARED_DATA = ROOT.parent / "shared" / "data"
SUITE_RECORD = ROOT / ".venv" / ".test-run"
"""`scripts/test` writes it after a whole successful run: seconds, date and commit in a line."""
CAMERAS = 16
CAMERA_FPS = 10
CAMERA_VIDEO = Path("cameras") / "ped2-normal.mp4"
NETWORK_S = 12
SERVICE_S, QUICK_SERVICE_S = 30, 6
DRAWN_S, QUIET_S = 6, 10
"""Short: starting them takes longer, and all of `scripts/figures` should take 5 minutes."""
QUIET_CAMERAS, QUIET = 24, 22
DRAWN_ENGINE = EngineName.OPENVINO_FP32
"""The bundle `demo` has no 8-bit form."""
LIMIT_S = 600.0
"""The time limit of one command; far more than any needs."""
OWN_SETTINGS = ("NORMWATCH_", "REDIS_URL", "DATABASE_URL")
"""The beginnings of variables that would change what is measured."""


@dataclass(frozen=True, slots=True)
class Place:
    """The folders and files that are used for measuring."""

    root: Path = ROOT
    data: Path = SHARED_DATA
    suite_record: Path = SUITE_RECORD


@dataclass(frozen=True, slots=True)
class Step:
    """Some figures that are measured together."""

    what: str
    names: Sequence[str]
    measure: Callable[[Place], Mapping[str, float]]
    needs: Callable[[Place], str | None] = lambda _: None
    """The reason why it can't be measured here, or None."""


class MeasuringFailedError(RuntimeError):
    """A command that measures has failed; holds the last line that it printed."""


def list_steps(*, quick: bool) -> list[Step]:
    """List what is measured, in that order."""
    if quick:
        return [
            *_CHEAP,
            _make_service_step(QUICK_SERVICE_S),
            _make_ped2_step("fast", FIRST),
        ]
    return [
        *_CHEAP,
        Step("the network", ["network_times_reference"], _measure_network),
        _make_service_step(SERVICE_S),
        Step(
            f"the service with {CAMERAS} cameras of the drawn scene for {DRAWN_S} s",
            ["drawn_share_of_engine", "drawn_abnormal"],
            _measure_drawn,
            lambda _: _check_server(),
        ),
        Step(
            f"the service with {QUIET_CAMERAS} cameras, {QUIET} of them still, for {QUIET_S} s",
            ["quiet_served", "quiet_age_p99_ms"],
            _measure_quiet,
            _check_cameras,
        ),
        _make_ped2_step("fast"),
        _make_ped2_step("judged"),
    ]


def run(chosen: Sequence[Step], place: Place, report: Callable[[str], object]) -> dict[str, Result]:
    """Measure them one after the other.

    Args: report: takes a line before each step, and one for each figure.
    """
    results: dict[str, Result] = {}
    for step in chosen:
        report(f"{step.what} …")
        found = _measure_step(step, place)
        for name in step.names:
            result = results[name] = found[name]
            definition = DEFINITIONS[name]
            if isinstance(result, NotMeasured):
                report(f"  {definition.title}: not measured: {result.reason}")
            else:
                report(f"  {definition.title}: {definition.format_value(result)}")
    return results


def _measure_step(step: Step, place: Place) -> Mapping[str, Result]:
    if (reason := step.needs(place)) is not None:
        return dict.fromkeys(step.names, NotMeasured(reason))
    try:
        return step.measure(place)
    except (MeasuringFailedError, OSError) as error:
        return dict.fromkeys(step.names, NotMeasured(str(error), failed=True))


def count_lines(place: Place) -> dict[str, float]:
    """Count the lines of Python in each folder, with blank ones and comments."""
    return {
        f"lines_{folder}": sum(
            len(file.read_bytes().splitlines()) for file in (place.root / folder).rglob("*.py")
        )
        for folder in ("service", "model", "scripts", "tests")
    }


def weigh_page(_: Place) -> dict[str, float]:
    """Sum up all files of the page: a browser loads each of them."""
    files = [file.read_bytes() for file in sorted(STATIC.rglob("*")) if file.is_file()]
    return {
        "page_kb": sum(map(len, files)) / 1000.0,
        "page_gzip_kb": sum(len(gzip.compress(each, mtime=0)) for each in files) / 1000.0,
    }


def read_suite_record(path: Path) -> tuple[float, str, str] | None:
    """Read seconds, date and commit of the last whole run of the tests; None if there is none."""
    try:
        seconds, date, commit = path.read_text().split()
        return float(seconds), date, commit
    except (OSError, ValueError):
        return None


def find_suite_origin(place: Place, now: Origin) -> Origin:
    """Find when, and at which commit, the test suite was timed."""
    record = read_suite_record(place.suite_record)
    if record is None:
        return now
    return now.model_copy(update={"date": record[1], "commit": record[2]})


def _check_suite(place: Place) -> str | None:
    if read_suite_record(place.suite_record) is None:
        return "not run here: a whole run of scripts/test that passes leaves its time"
    return None


def _read_suite(place: Place) -> dict[str, float]:
    record = read_suite_record(place.suite_record)
    return {} if record is None else {"suite_s": record[0]}


def _check_ped2(place: Place) -> str | None:
    folder = place.data / "ped2"
    return None if folder.is_dir() else f"{folder} is absent"


def _check_cameras(place: Place) -> str | None:
    video = place.data / CAMERA_VIDEO
    if not video.is_file():
        return f"{video} is absent"
    return _check_server()


def _check_server() -> str | None:
    if not is_installed():
        return "GStreamer's RTSP server is not installed; scripts/test installs it"
    return None


def _make_ped2_step(bundle: str, *arguments: str) -> Step:
    """Make the step of one bundle; with `FIRST` only the first clips are scored."""
    names = [f"auc_ped2_{bundle}", f"events_found_ped2_{bundle}", f"events_false_ped2_{bundle}"]
    names += ["auc_ped2_fast_start"] if bundle == "fast" else []
    if FIRST in arguments:
        names = names[-1:]
    what = f"ped2-{bundle} on {'the first clips of ' if FIRST in arguments else ''}Ped2"
    return Step(what, names, lambda place: _run_ped2(place, bundle, *arguments), _check_ped2)


def _run_ped2(place: Place, bundle: str, *arguments: str) -> dict[str, float]:
    """Score Ped2 in a process; returns the figures of both kinds of step."""
    command = ["-m", "scripts.regression.ped2", _find_shipped_bundle(f"ped2-{bundle}")]
    said = _run_python([*command, str(place.data / "ped2"), *arguments], place.root)
    answer = Ped2Answer.model_validate_json(said.splitlines()[-1])
    return {
        f"auc_ped2_{bundle}": answer.auc,
        f"events_found_ped2_{bundle}": float(answer.found),
        f"events_false_ped2_{bundle}": float(answer.false),
        f"auc_ped2_{bundle}_start": answer.first_auc,
    }


def _measure_network(_: Place) -> dict[str, float]:
    found = _run_bench("network", "--seconds", str(NETWORK_S), "--engine", ENGINE.value)
    return {"network_times_reference": found["ratio_per_core"]["median"]}


def _make_service_step(seconds: int) -> Step:
    return Step(
        f"the service with {CAMERAS} cameras for {seconds} s",
        [name for name in _SERVICE if seconds == SERVICE_S or name not in _GROWING],
        lambda place: _measure_service(place, seconds),
        _check_cameras,
    )


def _measure_service(place: Place, seconds: int) -> dict[str, float]:
    video = ("--engine", ENGINE.value, "--video", str(place.data / CAMERA_VIDEO))
    return extract_service(_bench_service("ped2-fast", CAMERAS, seconds, *video))


def _measure_drawn(_: Place) -> dict[str, float]:
    return extract_drawn(_bench_service("demo", CAMERAS, DRAWN_S, "--engine", DRAWN_ENGINE.value))


def extract_drawn(row: Mapping[str, Any]) -> dict[str, float]:
    """The figures of the drawn scene. Raises: MeasuringFailedError: no frame was scored."""
    if row["engine_share"] is None or row["abnormal_share"] is None:
        raise MeasuringFailedError("the service scored no frame")
    return {
        "drawn_share_of_engine": 100.0 * row["engine_share"],
        "drawn_abnormal": 100.0 * row["abnormal_share"],
    }


def _measure_quiet(place: Place) -> dict[str, float]:
    video = ("--engine", ENGINE.value, "--video", str(place.data / CAMERA_VIDEO))
    row = _bench_service("ped2-fast", QUIET_CAMERAS, QUIET_S, "--quiet", str(QUIET), *video)
    return extract_quiet(row)


def extract_quiet(row: Mapping[str, Any]) -> dict[str, float]:
    """The figures of mostly still cameras. Raises: MeasuringFailedError: no frame was scored."""
    if row["age"] is None:
        raise MeasuringFailedError("the service scored no frame")
    return {
        "quiet_served": 100.0 * row["served_share"],
        "quiet_age_p99_ms": 1000.0 * row["age"]["p99_s"],
    }


def _bench_service(bundle: str, cameras: int, seconds: int, *arguments: str) -> Mapping[str, Any]:
    """Run the bench of the service; returns its row."""
    counts = ("--cameras", str(cameras), "--fps", str(CAMERA_FPS), "--seconds", str(seconds))
    found = _run_bench("service", *counts, *arguments, bundle=bundle)
    (row,) = found["rows"]
    return dict(row)


def extract_service(row: Mapping[str, Any]) -> dict[str, float]:
    """The figures in a row of `normwatch bench service --json`.

    Raises: MeasuringFailedError: no frame was scored, or a process wasn't there all the time.
    """
    if row["age"] is None or row["engine_share"] is None:
        raise MeasuringFailedError("the service scored no frame")
    memory: dict[str, list[Mapping[str, float]]] = {}
    for each in row["memory"]:
        memory.setdefault(each["part"], []).append(each)
    if missing := {"worker", "front end", "capture"} - set(memory):
        raise MeasuringFailedError(f"no memory of: {', '.join(sorted(missing))}")
    (worker, *_), (front_end, *_) = memory["worker"], memory["front end"]
    return {
        "service_share_of_engine": 100.0 * row["engine_share"],
        "service_per_cpu_second": row["fps_per_core"],
        "engine_per_cpu_second": 1000.0 / row["alone"]["engine_cpu_ms"],
        "service_fps": row["fps"],
        "service_age_p99_ms": 1000.0 * row["age"]["p99_s"],
        "service_start_s": row["started_s"],
        "service_all_scored_s": row["all_scored_s"],
        "worker_rss_mb": worker["end_mb"],
        "worker_pss_mb": worker["end_pss_mb"],
        "front_end_rss_mb": front_end["end_mb"],
        "front_end_pss_mb": front_end["end_pss_mb"],
        "capture_pss_mb": statistics.median(each["end_pss_mb"] for each in memory["capture"]),
    }


def _run_bench(command: str, *arguments: str, bundle: str = "ped2-fast") -> Any:
    """Run `normwatch bench COMMAND BUNDLE`; returns all figures."""
    with tempfile.TemporaryDirectory(prefix="normwatch-figures-") as name:
        folder = Path(name)
        file = folder / "bench.json"
        words = ["-P", "-m", "service", "bench", command, _find_shipped_bundle(bundle)]
        _run_python([*words, *arguments, "--json", str(file)], folder)
        return json.loads(file.read_text())


def _find_shipped_bundle(bundle: str) -> str:
    """Return the shipped bundle's folder: a user's bundle of that name must not replace it."""
    return str(find_bundle(bundle).absolute())


def _run_python(arguments: Sequence[str], folder: Path) -> str:
    """Run a Python process and return what it prints.

    Raises: MeasuringFailedError: it fails, or takes too long.
    """
    try:
        done = subprocess.run(
            tether_command([sys.executable, *arguments]),
            cwd=folder,
            env=dict(_clean_environment()),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MeasuringFailedError(f"took longer than {LIMIT_S:g} s") from None
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "it printed nothing").splitlines()
        raise MeasuringFailedError(f"failed: {lines[-1]}")
    return done.stdout


def _clean_environment() -> Iterator[tuple[str, str]]:
    return ((k, v) for k, v in os.environ.items() if not k.startswith(OWN_SETTINGS))


_SERVICE = [
    *("service_share_of_engine", "service_per_cpu_second", "engine_per_cpu_second"),
    *("service_fps", "service_age_p99_ms", "service_start_s", "service_all_scored_s"),
    *("worker_rss_mb", "worker_pss_mb", "front_end_rss_mb", "front_end_pss_mb"),
    "capture_pss_mb",
]
_GROWING = ("front_end_rss_mb", "front_end_pss_mb")
"""In a shorter run these would always be smaller."""
_LINES = [f"lines_{folder}" for folder in ("service", "model", "scripts", "tests")]
_CHEAP = [
    Step("the code", _LINES, count_lines),
    Step("the page", ["page_kb", "page_gzip_kb"], weigh_page),
    Step("the test suite's last run", ["suite_s"], _read_suite, _check_suite),
]
