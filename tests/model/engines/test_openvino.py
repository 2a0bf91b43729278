"""OpenVINO in fp32 compared with PyTorch in fp32, on networks of every form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from model.bundles.bundle import Bundle
from model.engines.engine import Engine
from tests.model.engines.processes import answer
from tests.model.engines.programs import assert_near, inputs, run

ROUNDING = 2e-5
"""Rounding of fp32 summed in another order; some 1e-6 was measured."""


def test_it_gives_what_torch_gives(bundle: Bundle, exact: Engine, openvino: Engine) -> None:
    given = inputs(bundle.config, 4)
    assert_near(run(openvino, given), run(exact, given), ROUNDING)


def test_a_camera_of_a_batch_gets_what_it_gets_alone(bundle: Bundle, openvino: Engine) -> None:
    """A camera keeps its own items and memory switch on any thread."""
    given = inputs(bundle.config, 5, seed=1)
    together = run(openvino, given)
    for camera in range(5):
        assert_near(together.of(camera), run(openvino, given.of(camera)), 0.0)


def test_other_items_are_read_without_another_compilation(
    bundle: Bundle, exact: Engine, openvino: Engine
) -> None:
    first = inputs(bundle.config, 2, seed=2)
    moved = torch.nn.functional.normalize(first.items + 0.5 * first.items.roll(1, dims=1), dim=2)
    after = replace(first, items=moved, reads=np.ones(2, np.bool_))
    before = replace(after, items=first.items)
    unmoved, found = run(openvino, before), run(openvino, after)
    assert_near(found, run(exact, after), ROUNDING)
    assert float((found.pictures - unmoved.pictures).abs().max()) > 20 * ROUNDING
    assert_near(run(openvino, before), unmoved, 0.0)


def test_items_for_all_are_those_of_each(bundle: Bundle, openvino: Engine) -> None:
    given = inputs(bundle.config, 3, seed=3)
    shared = replace(given, items=given.items[:1])
    each = replace(given, items=given.items[:1].expand(3, -1, -1))
    assert_near(run(openvino, shared), run(openvino, each), 0.0)


def test_a_memory_that_is_off_answers_with_the_mean_of_the_items(
    bundle: Bundle, exact: Engine, openvino: Engine
) -> None:
    given = inputs(bundle.config, 1, seed=4)
    off = replace(given, reads=np.zeros(1, np.bool_))
    mean = given.items.mean(dim=1, keepdim=True).expand(-1, given.items.shape[1], -1)
    for each in (exact, openvino):
        mean_read = each.predict(off.frames, mean.contiguous(), off.reads)
        switched_off = each.predict(off.frames, off.items, off.reads)
        read = each.predict(given.frames, given.items, given.reads)
        assert float((switched_off - mean_read).abs().max()) < ROUNDING
        assert float((switched_off - read).abs().max()) > 10 * ROUNDING


def test_results_stay_as_they_are_when_the_next_frame_comes(
    bundle: Bundle, openvino: Engine
) -> None:
    given = inputs(bundle.config, 1, seed=5)
    output = openvino.run(given.frames, given.items, given.reads)
    kept = (output.columns.copy(), output.heat.copy(), output.queries.clone())
    for seed in range(6, 10):  # more than there are threads
        other = inputs(bundle.config, 1, seed=seed)
        openvino.run(other.frames, other.items, other.reads)
    assert np.array_equal(output.columns, kept[0])
    assert np.array_equal(output.heat, kept[1])
    assert torch.equal(output.queries, kept[2])


TELEMETRY = """
from model.engines.names import EngineName
from tests.model.engines.programs import engine, inputs, lively_bundle, run
bundle = lively_bundle()
run(engine(EngineName.OPENVINO_FP32, bundle), inputs(bundle.config, 1))
import sys
found = [name for name in sys.modules if name.split(".")[0] == "openvino_telemetry"]
print("openvino" in sys.modules, found, getattr(sys.modules[found[0]], "__file__", None))
"""


def test_its_telemetry_is_never_imported() -> None:
    assert answer(TELEMETRY) == ["True ['openvino_telemetry'] None"]


FALL_BACK = """
import sys
from model.engines.required_measures import find_required_measures
from model.engines.choice import choose_engine
from model.engines.names import EngineName
from tests.support.bundles import small_bundle
bundle = small_bundle()
def report():
    choice = choose_engine(bundle, find_required_measures(bundle), "cpu", 1)
    print(choice.engine.value.partition("-")[0], choice.refused[EngineName.OPENVINO_FP32])
sys.modules["openvino"] = None
report()
del sys.modules["openvino"]
sys.path.insert(0, BROKEN)
report()
"""


def test_torch_takes_over_where_openvino_is_missing_or_broken(tmp_path: Path) -> None:
    (tmp_path / "openvino.py").write_text("raise ImportError('libx.so: no such file')")
    assert answer(f"BROKEN = {str(tmp_path)!r}{FALL_BACK}") == [
        "torch OpenVINO isn't installed",
        "torch OpenVINO can't be loaded: libx.so: no such file",
    ]
