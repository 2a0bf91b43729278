"""A model is checked on its camera's own footage, before it goes live."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model.bundles.bundle import Bundle, load
from model.bundles.calibration_config import Calibration
from model.bundles.catalog import find_bundle
from model.engines.names import EngineName
from model.evaluation.check_figures import KindFigures
from model.evaluation.check_report import save_report
from model.evaluation.check_verdict import Findings, give_verdict, may_go_live
from model.evaluation.model_check import ModelCheck, ScenePlan, check_model
from model.footage.clips import Clip
from model.frames import fit
from service.learning_messages import CheckSummary
from service.tools.demo.walkway import draw_frames

SCENES_A_KIND = 2
FPS = 5.0
"""Half of the footage's own: scenes have half as many frames."""


@pytest.fixture(scope="module")
def bundle() -> Iterator[Bundle]:
    """The shipped one that knows the drawn scene, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    shipped = load(find_bundle("demo"))
    yield replace(shipped, provenance=replace(shipped.provenance, frame_rate=FPS))
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clip(bundle: Bundle) -> Clip:
    """Drawn normal footage that it wasn't trained on."""
    frames = [fit(picture, bundle.frame_shape) for picture in draw_frames(900, 8.0, [])]
    return Clip("drawn", np.stack(frames))


@pytest.fixture(scope="module")
def shares() -> list[float]:
    """The progress that the check reports."""
    return []


@pytest.fixture(scope="module")
def check(bundle: Bundle, clip: Clip, shares: list[float]) -> ModelCheck:
    """The check of the model that knows the scene, compared with itself."""
    return check_model(
        bundle,
        [clip],
        [clip],
        FPS,
        current=bundle,
        on_progress=shares.append,
        plan=ScenePlan(scenes_a_kind=SCENES_A_KIND),
        engine=EngineName.TORCH_FP32,
    )


def test_a_model_that_knows_its_camera_finds_anomalies(
    check: ModelCheck, shares: list[float]
) -> None:
    assert check.auc_low <= check.auc <= check.auc_high
    assert check.auc > check.frame_difference_auc
    assert check.current_auc == check.auc
    assert check.scenes == len(check.checked) >= 12
    assert check.found == sum(each.found for each in check.kinds)
    assert sum(each.scenes for each in check.kinds) == check.scenes
    assert check.false_events_per_day_high > 1000.0  # from seconds of footage
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_the_summary_takes_all_of_its_fields(check: ModelCheck) -> None:
    summary = CheckSummary.model_validate(check, from_attributes=True)
    assert summary.verdict == check.verdict
    assert CheckSummary.model_validate_json(summary.model_dump_json()) == summary


def test_a_model_of_another_scene_does_not_pass(bundle: Bundle) -> None:
    random = np.random.default_rng(0)
    wall = random.integers(0, 256, (1, *bundle.frame_shape.array_shape))
    frames = (wall + random.normal(0.0, 8.0, (30, *bundle.frame_shape.array_shape))).clip(0, 255)
    other = Clip("other", frames.astype(np.uint8))
    found = check_model(bundle, [other], [other], FPS, plan=ScenePlan(scenes_a_kind=1))
    assert not found.is_passed
    assert found.verdict.startswith("it doesn't know this camera")


def test_the_report_holds_pictures_and_a_page_of_its_own(check: ModelCheck, tmp_path: Path) -> None:
    save_report(check, tmp_path)
    names = {file.name for file in tmp_path.iterdir()}
    assert {"index.html", "learned.jpg", "normal-1.jpg"} <= names
    for each in check.checked:
        outcome = "missed" if each.delay_s is None else "found"
        assert f"{each.scene.kind.value}-{outcome}.jpg" in names
    for name in names - {"index.html"}:
        picture = cv2.imread(str(tmp_path / name))
        assert picture is not None and picture.shape[1] <= 640
    page = (tmp_path / "index.html").read_text()
    assert set(re.findall(r'src="([^"]+)"', page)) == names - {"index.html"}
    assert "<script" not in page and "http" not in page
    assert check.verdict.replace("'", "&#x27;") in page


def test_footage_that_does_not_fit_is_refused(bundle: Bundle, clip: Clip) -> None:
    with pytest.raises(ValueError, match="has frames of"):
        check_model(bundle, [Clip("wide", clip.frames[:20, :, :40])], [clip], FPS)
    with pytest.raises(ValueError, match="too short"):
        check_model(bundle, [Clip("short", clip.frames[:4])], [], FPS)
    with pytest.raises(ValueError, match="isn't calibrated"):
        raw = replace(bundle, calibration=Calibration())
        check_model(raw, [Clip("short", clip.frames[:20])], [clip], FPS)


def test_too_short_footage_says_so(bundle: Bundle, clip: Clip) -> None:
    short = Clip("short", clip.frames[:20])
    found = check_model(bundle, [short], [clip], FPS)
    assert (found.scenes, found.is_passed) == (0, False)
    assert found.verdict == "it can't be checked: the held-out footage is too short"
    CheckSummary.model_validate(found, from_attributes=True)


GOOD = Findings(
    auc=0.8,
    frame_difference_auc=0.6,
    current_auc=0.79,
    found=20,
    scenes=28,
    false_events=0,
    normal_s=30.0,
    high_share=0.0,
    kinds=(),
)


def test_the_verdict_names_what_is_never_found() -> None:
    kinds = (KindFigures("stopped", 0.5, 0, 4), KindFigures("smoke", 0.9, 3, 4))
    assert give_verdict(replace(GOOD, kinds=kinds)) == (
        "good: it finds 20 of 28 made-up anomalies, but no people who stop on their way; "
        "with no false event in normal footage"
    )


def test_a_model_that_just_passes_is_not_called_good() -> None:
    assert give_verdict(replace(GOOD, auc=0.7, current_auc=None)).startswith("usable: ")


@pytest.mark.parametrize(
    ("findings", "word"),
    [
        (replace(GOOD, high_share=0.5), "doesn't know this camera"),
        (replace(GOOD, scenes=8), "can't be checked"),
        (replace(GOOD, normal_s=15.0), "can't be checked"),
        (replace(GOOD, auc=0.59, current_auc=None), "plain difference of frames"),
        (replace(GOOD, current_auc=0.85), "the model in use is better"),
        (replace(GOOD, found=1), "finds only 1 of 28"),
    ],
)
def test_each_fault_keeps_a_model_from_going_live(findings: Findings, word: str) -> None:
    assert may_go_live(GOOD)
    assert not may_go_live(findings)
    assert word in give_verdict(findings)
