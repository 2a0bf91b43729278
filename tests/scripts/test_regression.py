"""`scripts/figures`: what is compared, kept and displayed, without measuring anything slow."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scripts.regression import __main__ as command
from scripts.regression import measuring
from scripts.regression.definitions import DEFINITIONS, Better, Noise
from scripts.regression.kept import (
    KeptFigure,
    KeptFileError,
    Origin,
    make_kept_figure,
    read_kept,
    write_kept,
)
from scripts.regression.measuring import MeasuringFailedError, Place, Step
from scripts.regression.verdicts import (
    FigureRow,
    FigureVerdict,
    NotMeasured,
    Result,
    compare,
    format_change,
    list_notes,
    make_table,
)

ROOT = Path(__file__).resolve().parents[2]
HERE = Origin(date="2026-11-30", machine="EPYC, 2 cores, avx2", commit="abc1234")
ELSEWHERE = "Xeon, 64 cores, avx2 amx"
AUC, AGE, SHARE, LINES = (
    "auc_ped2_fast",
    "service_age_p99_ms",
    "service_share_of_engine",
    "lines_tests",
)


def _make_kept(**values: float) -> dict[str, KeptFigure]:
    return {name: make_kept_figure(name, value, HERE) for name, value in values.items()}


def _compare_one(name: str, now: Result, before: float, machine: str = HERE.machine) -> FigureRow:
    (row,) = compare({name: now}, _make_kept(**{name: before}), machine)
    return row


@pytest.mark.parametrize(
    ("name", "now", "before", "verdict"),
    [
        (AUC, 98.22, 98.27, FigureVerdict.SAME),
        (AUC, 98.2149, 98.27, FigureVerdict.FELL),
        (AUC, 98.33, 98.27, FigureVerdict.BETTER),
        (AGE, 520.0, 400.0, FigureVerdict.SAME),
        (AGE, 521.0, 400.0, FigureVerdict.FELL),
        (AGE, 200.0, 400.0, FigureVerdict.BETTER),
        (SHARE, 54.0, 60.0, FigureVerdict.SAME),
        (SHARE, 20.0, 60.0, FigureVerdict.FELL),
        ("events_false_ped2_fast", 1.0, 0.0, FigureVerdict.FELL),
        ("events_found_ped2_fast", 12.0, 12.0, FigureVerdict.SAME),
        (LINES, 30_001.0, 30_000.0, FigureVerdict.CHANGED),
    ],
)
def test_a_figure_falls_when_it_is_worse_by_more_than_its_noise(
    name: str, now: float, before: float, verdict: FigureVerdict
) -> None:
    assert _compare_one(name, now, before).verdict is verdict


@given(name=st.sampled_from(list(DEFINITIONS)), value=st.floats(0.0, 1e6))
def test_a_value_kept_and_measured_again_is_within_noise(name: str, value: float) -> None:
    assert _compare_one(name, value, value).verdict is FigureVerdict.SAME


def test_figures_of_speed_are_compared_on_the_same_kind_of_machine_only() -> None:
    assert _compare_one(SHARE, 20.0, 60.0, ELSEWHERE).verdict is FigureVerdict.OTHER_MACHINE
    assert _compare_one(AUC, 90.0, 98.0, ELSEWHERE).verdict is FigureVerdict.FELL


def test_what_has_no_counterpart_is_not_compared() -> None:
    kept = {AUC: _make_kept(auc_ped2_fast=98.0)[AUC].model_copy(update={"unit": "share"})}
    results = {AUC: 98.0, SHARE: 50.0, AGE: NotMeasured("no cameras here")}
    verdicts = {row.name: row.verdict for row in compare(results, kept, HERE.machine)}
    assert verdicts == {
        AUC: FigureVerdict.OTHER_UNIT,
        SHARE: FigureVerdict.NEW,
        AGE: FigureVerdict.NOT_MEASURED,
    }


def test_only_measured_figures_are_compared() -> None:
    rows = compare({AUC: 98.0}, _make_kept(auc_ped2_fast=98.0, service_fps=160.0), HERE.machine)
    assert [row.name for row in rows] == [AUC]


def test_changes_are_in_percent_of_the_kept_value_or_in_points() -> None:
    assert format_change(_compare_one(SHARE, 30.0, 60.0)) == "-50.0 %"
    assert format_change(_compare_one(AUC, 98.0, 98.27)) == "-0.27"
    assert format_change(_compare_one("events_false_ped2_fast", 2.0, 0.0)) == "+2"
    assert format_change(_compare_one(AUC, NotMeasured("why"), 98.27)) == ""


def test_the_table_and_the_notes_say_what_fell_and_what_is_missing() -> None:
    kept = _make_kept(auc_ped2_fast=98.27, service_share_of_engine=60.0, service_age_p99_ms=400.0)
    results = {AUC: 98.27, SHARE: 20.0, AGE: NotMeasured("no cameras here"), LINES: 30_000.0}
    rows = compare(results, kept, HERE.machine)
    printed = io.StringIO()
    Console(file=printed, width=120).print(make_table(rows))
    lines = printed.getvalue().splitlines()
    share = next(line for line in lines if DEFINITIONS[SHARE].title in line)
    assert share.split()[-7:] == ["60.0", "%", "20.0", "%", "-66.7", "%", "FELL"]
    assert max(map(len, lines)) <= 120
    missing, fell = list_notes(rows)
    assert missing == f"not measured: {DEFINITIONS[AGE].title} (no cameras here)"
    assert fell.startswith(f"FELL: {DEFINITIONS[SHARE].title}: 20.0 %, kept 60.0 %")
    assert "2026-11-30, abc1234" in fell and fell.endswith("noise 10 %")


def test_it_is_said_that_nothing_fell_only_where_something_was_compared() -> None:
    assert list_notes([_compare_one(AUC, 98.27, 98.27)]) == ["Nothing fell by more than its noise."]
    assert list_notes(compare({AUC: 98.27}, {}, HERE.machine)) == []


def test_figures_are_kept_in_the_order_of_their_definitions(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    figures = _make_kept(lines_tests=30_000.0, service_fps=159.94, auc_ped2_fast=98.2671)
    write_kept(path, {**figures, "withdrawn": figures["service_fps"]})
    assert list(json.loads(path.read_text())["figures"]) == [AUC, "service_fps", "lines_tests"]
    read = read_kept(path)
    assert read[AUC].value == 98.27 and read["service_fps"].value == 159.9
    assert (read[AUC].noise, read["service_fps"].noise) == ("0.05 points", "10 %")
    assert (read[AUC].date, read[AUC].machine, read[AUC].commit) == tuple(
        HERE.model_dump().values()
    )
    assert list(tmp_path.iterdir()) == [path]
    before = path.read_text()
    write_kept(path, read)
    assert path.read_text() == before


def test_without_a_file_nothing_is_kept(tmp_path: Path) -> None:
    assert read_kept(tmp_path / "figures.json") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "JSON"),
        ("[]", "figures.json"),
        ('{"figures": {"auc_ped2_fast": {"value": 98.2}}}', "figures.auc_ped2_fast.title"),
        ('{"figures": {}, "notes": 1}', "notes"),
    ],
)
def test_a_malformed_file_is_refused_in_a_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text(text)
    with pytest.raises(KeptFileError, match=words) as refused:
        read_kept(path)
    assert str(refused.value).startswith(str(path)) and "\n" not in str(refused.value)


def test_nothing_is_measured_with_a_malformed_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    path.write_text("{")
    monkeypatch.setattr(command, "KEPT", path)
    monkeypatch.setattr("sys.argv", ["scripts/figures", "--keep"])
    assert command.main() == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(f"scripts/figures: {path}: ")
    assert path.read_text() == "{"


def test_a_value_that_is_no_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_kept(path, _make_kept(auc_ped2_fast=98.0))
    path.write_text(path.read_text().replace("98.0", '"NaN"'))
    with pytest.raises(KeptFileError, match="auc_ped2_fast"):
        read_kept(path)


def test_the_kept_figures_of_the_project_can_be_read() -> None:
    assert set(read_kept(ROOT / "docs" / "figures.json")) <= set(DEFINITIONS)


def test_each_noise_has_a_reason_and_a_size() -> None:
    for definition in DEFINITIONS.values():
        assert definition.noise.reason
        assert definition.noise.limit(100.0) >= 0.0
    assert Noise(0.1, True, "r").limit(-50.0) == pytest.approx(5.0)
    assert Noise(3.0, False, "r").describe("s") == "3 s"
    assert DEFINITIONS[LINES].better is Better.NEITHER


def test_both_runs_measure_defined_figures_and_each_only_once() -> None:
    full = [name for step in measuring.list_steps(quick=False) for name in step.names]
    quick = [name for step in measuring.list_steps(quick=True) for name in step.names]
    assert sorted(full) == sorted(DEFINITIONS)
    assert set(quick) < set(full) and len(set(quick)) == len(quick)


def test_without_shared_footage_its_figures_are_not_measured(tmp_path: Path) -> None:
    place = Place(data=tmp_path / "absent", suite_record=tmp_path / "absent")
    reported: list[str] = []
    needy = [step for step in measuring.list_steps(quick=True) if step.needs(place) is not None]
    results = measuring.run(needy, place, reported.append)
    assert {AUC + "_start", SHARE, "suite_s"} <= set(results)
    assert all(isinstance(each, NotMeasured) and not each.failed for each in results.values())
    absent = results[AUC + "_start"]
    assert isinstance(absent, NotMeasured) and absent.reason.endswith("ped2 is absent")
    title = DEFINITIONS[SHARE].title
    assert any(f"{title}: not measured: " in line for line in reported)


def test_a_step_that_fails_leaves_the_others_measured(tmp_path: Path) -> None:
    def fail(_: Place) -> dict[str, float]:
        raise MeasuringFailedError("failed: no room")

    broken = Step("the service", [SHARE], fail)
    working = Step("the code", [LINES], lambda _: {LINES: 7.0})
    results = measuring.run([broken, working], Place(data=tmp_path), lambda _: None)
    assert results == {SHARE: NotMeasured("failed: no room", failed=True), LINES: 7.0}


def test_lines_and_bytes_are_counted(tmp_path: Path) -> None:
    for folder, lines in (("service", 3), ("model", 2), ("scripts", 1), ("tests", 0)):
        (tmp_path / folder / "inner").mkdir(parents=True)
        (tmp_path / folder / "inner" / "code.py").write_text("pass\n" * lines)
        (tmp_path / folder / "notes.txt").write_text("no code\n")
    place = replace(Place(), root=tmp_path)
    assert list(measuring.count_lines(place).values()) == [3, 2, 1, 0]
    weight = measuring.weigh_page(place)
    assert weight["page_kb"] > weight["page_gzip_kb"] > 0.0


def test_the_suite_is_timed_by_its_last_whole_run(tmp_path: Path) -> None:
    place = Place(suite_record=tmp_path / "run")
    assert measuring.find_suite_origin(place, HERE) == HERE
    place.suite_record.write_text("412 2026-11-29 e0ce861+\n")
    suite = next(step for step in measuring.list_steps(quick=True) if "suite_s" in step.names)
    assert measuring.run([suite], place, lambda _: None) == {"suite_s": 412.0}
    origin = measuring.find_suite_origin(place, HERE)
    assert (origin.date, origin.commit, origin.machine) == ("2026-11-29", "e0ce861+", HERE.machine)
    place.suite_record.write_text("half a line")
    assert suite.needs(place) is not None


def test_figures_of_the_service_come_from_a_row_of_its_benchmark() -> None:
    memory = [
        {"part": part, "end_mb": mb, "end_pss_mb": mb - 1.0}
        for part, mb in (("worker", 500.0), ("front end", 150.0), ("redis", 12.0))
    ]
    captures = [{"part": "capture", "end_mb": 50.0, "end_pss_mb": mb} for mb in (9.0, 12.0, 13.0)]
    row = {
        "age": {"p99_s": 0.45},
        "engine_share": 0.6,
        "fps": 159.0,
        "fps_per_core": 80.0,
        "alone": {"engine_cpu_ms": 8.0},
        "started_s": 2.0,
        "all_scored_s": 5.0,
        "memory": [*memory, *captures],
    }
    figures = measuring.extract_service(row)
    (step,) = (each for each in measuring.list_steps(quick=False) if SHARE in each.names)
    assert list(figures) == list(step.names)
    assert figures[SHARE] == 60.0 and figures["engine_per_cpu_second"] == 125.0
    assert figures[AGE] == 450.0 and figures["capture_pss_mb"] == 12.0
    assert (figures["worker_rss_mb"], figures["worker_pss_mb"]) == (500.0, 499.0)
    with pytest.raises(MeasuringFailedError, match="capture"):
        measuring.extract_service({**row, "memory": memory})
    with pytest.raises(MeasuringFailedError, match="no frame"):
        measuring.extract_service({**row, "age": None})


def test_figures_of_drawn_and_still_cameras_come_from_rows_of_the_benchmark() -> None:
    row = {
        "engine_share": 0.5,
        "abnormal_share": 0.01,
        "age": {"p99_s": 0.4},
        "served_share": 0.9,
    }
    drawn, quiet = measuring.extract_drawn(row), measuring.extract_quiet(row)
    assert drawn == {"drawn_share_of_engine": 50.0, "drawn_abnormal": 1.0}
    assert quiet == {"quiet_served": 90.0, "quiet_age_p99_ms": 400.0}
    for figures in (drawn, quiet):
        assert [list(figures)] == [
            list(step.names)
            for step in measuring.list_steps(quick=False)
            if set(step.names) & set(figures)
        ]
    with pytest.raises(MeasuringFailedError, match="no frame"):
        measuring.extract_drawn({**row, "abnormal_share": None})
    with pytest.raises(MeasuringFailedError, match="no frame"):
        measuring.extract_quiet({**row, "age": None})
