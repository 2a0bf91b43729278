"""Engines that can be had, and the choice between them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.bundles.bundle import Bundle
from model.bundles.calibration_config import InputRange, Int8
from model.bundles.range_names import list_convolution_names
from model.engines.choice import (
    ROUNDS,
    Processor,
    choose_engine,
    find_refusals,
    list_engines,
    open_engine,
    read_processor,
    time_engines,
)
from model.engines.engine import Engine, EngineError, EngineOutput, FrameStack
from model.engines.names import EngineName
from model.engines.required_measures import find_required_measures
from tests.model.engines.programs import engine
from tests.support.bundles import small_bundle

PLAIN = Processor("plain", frozenset({"avx2"}))
WITH_BF16 = Processor("quick", frozenset({"avx2", "avx512f", "avx512_bf16"}))


def _with_int8(rank_correlation: float) -> Bundle:
    bundle = small_bundle()
    ranges = dict.fromkeys(list_convolution_names(bundle.network), InputRange(-1.0, 1.0))
    return replace(bundle, int8=Int8(ranges, rank_correlation, 100))


@pytest.mark.parametrize(
    ("flags", "bf16"),
    [("fpu avx2 fma", False), ("avx2 avx512f avx512_bf16", True), ("avx2 amx_tile", True)],
)
def test_the_processor_is_read_from_the_kernels_list(
    flags: str, bf16: bool, tmp_path: Path
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    one = f"processor\t: 0\nmodel name\t: Some CPU 7\nflags\t\t: {flags}\n\n"
    cpuinfo.write_text(one * 2)
    found = read_processor(cpuinfo)
    assert found.name == "Some CPU 7"
    assert found.flags == set(flags.split()) - {"fpu", "fma"}
    assert found.computes_bf16 is bf16


def test_a_brand_is_told_apart_by_family_and_model(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("cpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\nflags\t\t: avx2\n")
    assert read_processor(cpuinfo).name == "AMD EPYC (family 26, model 2)"


def test_a_processor_that_says_nothing_has_a_name_and_no_flags(tmp_path: Path) -> None:
    found = read_processor(tmp_path / "nothing")
    assert found.name
    assert not found.flags
    assert not found.computes_bf16


def test_bf16_needs_a_processor_that_multiplies_it() -> None:
    bundle = small_bundle()
    for name in (EngineName.TORCH_BF16, EngineName.OPENVINO_BF16):
        assert find_refusals(bundle, "cpu", PLAIN)[name] == "this processor doesn't multiply bf16"
        assert name not in find_refusals(bundle, "cpu", WITH_BF16)


def test_8_bits_need_ranges_and_scores_that_agree_with_fp32() -> None:
    int8 = EngineName.OPENVINO_INT8
    assert "no 8-bit ranges" in find_refusals(small_bundle(), "cpu", PLAIN)[int8]
    assert "0.9899 only" in find_refusals(_with_int8(0.9899), "cpu", PLAIN)[int8]
    assert int8 not in list_engines(_with_int8(0.9899))
    assert int8 not in find_refusals(_with_int8(0.99), "cpu", PLAIN)
    assert int8 in list_engines(_with_int8(0.99))


def test_engines_belong_to_the_gpu_or_to_the_processor() -> None:
    on_cpu = find_refusals(_with_int8(1.0), "cpu", WITH_BF16)
    on_gpu = find_refusals(_with_int8(1.0), "cuda:0", WITH_BF16)
    assert {name for name in on_cpu} == {name for name in EngineName if name.on_gpu}
    assert {name for name in on_gpu} == {name for name in EngineName if not name.on_gpu}


def test_the_engine_that_took_least_time_is_chosen() -> None:
    bundle = _with_int8(1.0)
    choice = choose_engine(bundle, find_required_measures(bundle), "cpu", threads=1)
    assert set(choice.frame_s) == set(list_engines(bundle))
    assert choice.frame_s.keys() | choice.refused.keys() == set(EngineName)
    assert not choice.frame_s.keys() & choice.refused.keys()
    assert choice.frame_s[choice.engine] == min(choice.frame_s.values())
    assert all(seconds > 0.0 for seconds in choice.frame_s.values())


@dataclass(slots=True)
class Watched:
    """An engine that notes how many threads PyTorch has when it runs."""

    engine: Engine
    name: EngineName = EngineName.TORCH_FP32
    threads: list[int] = field(default_factory=list)

    def run(
        self,
        frames: FrameStack,
        items: Tensor,
        reads: NDArray[np.bool_],
        with_pixels: NDArray[np.bool_] | None = None,
    ) -> EngineOutput:
        self.threads.append(torch.get_num_threads())
        return self.engine.run(frames, items, reads, with_pixels)

    def predict(self, frames: FrameStack, items: Tensor, reads: NDArray[np.bool_]) -> Tensor:
        return self.engine.predict(frames, items, reads)


def test_pytorch_is_timed_on_as_many_threads_as_the_others() -> None:
    bundle = small_bundle()
    watched = Watched(engine(EngineName.TORCH_FP32, bundle))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        times = time_engines([watched], bundle, threads=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert watched.threads == [1] * (ROUNDS + 1)
    assert times[EngineName.TORCH_FP32] > 0.0


def test_what_cannot_be_had_says_so() -> None:
    bundle = small_bundle()
    for name, words in (
        (EngineName.CUDA_FP16, "needs a GPU, and the device is cpu"),
        (EngineName.OPENVINO_INT8, "needs 8-bit ranges, which bundle small lacks"),
    ):
        with pytest.raises(EngineError, match=words):
            open_engine(name, bundle, find_required_measures(bundle), "cpu", 1)
