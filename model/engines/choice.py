"""Finds the engines that a machine and a bundle can have, and chooses the fastest."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.bundles.bundle import Bundle
from model.engines.engine import Engine, EngineError, EngineProgram, FrameStack
from model.engines.names import EngineName
from model.engines.network_passes import LiveNetwork, Measuring
from model.engines.openvino_engine import OpenVinoEngine, import_openvino
from model.engines.quantisation import quantise_network
from model.engines.required_measures import RequiredMeasures
from model.engines.torch_engine import CudaEngine, TorchEngine

LEAST_RANK_CORRELATION = 0.99
"""An engine's scores must agree this well with those of fp32, on held-out normal footage."""
ROUNDS = 7
"""Frames that each engine is timed on, in turns: a busy machine then slows all of them."""
SLOW_S = 0.5
"""An engine whose first frame takes so long is timed on a few frames only."""
_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_tile")
CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Processor:
    """A machine's processor, as far as engines differ by it."""

    name: str
    flags: frozenset[str]
    """Its instruction sets, out of those that engines differ by."""

    @property
    def computes_bf16(self) -> bool:
        """True where it multiplies bf16; elsewhere that is emulated, and slow."""
        return bool(self.flags & {"avx512_bf16", "amx_tile"})


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine for a bundle on this machine, and why."""

    engine: EngineName
    frame_s: dict[EngineName, float]
    """Seconds a frame, of one camera, median; empty where there was nothing to choose from."""
    refused: dict[EngineName, str]
    """The engines that can't be had, each with the reason."""


def read_processor(cpuinfo: Path = CPUINFO) -> Processor:
    """Read which processor this machine has. An unknown one has no flags."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    fields: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or os.uname().machine
    if "cpu family" in fields and "model" in fields:
        # Virtual machines often name no more than the brand.
        name += f" (family {fields['cpu family']}, model {fields['model']})"
    return Processor(name, frozenset(fields.get("flags", "").split()) & set(_FLAGS))


def find_refusals(
    bundle: Bundle, device: str, machine: Processor | None = None
) -> dict[EngineName, str]:
    """Find which engines can't be had on this machine, or on `machine`, and why."""
    refused: dict[EngineName, str] = {}
    gpu = torch.device(device).type == "cuda"
    bf16 = (machine or read_processor()).computes_bf16
    for name in EngineName:
        if name.on_gpu and not gpu:
            refused[name] = "no GPU is used"
        elif not name.on_gpu and gpu:
            refused[name] = "a GPU is used"
        elif name in (EngineName.TORCH_BF16, EngineName.OPENVINO_BF16) and not bf16:
            refused[name] = "this processor doesn't multiply bf16"
        elif name.value.startswith("openvino") and find_spec("openvino") is None:
            refused[name] = "OpenVINO isn't installed"
    if EngineName.OPENVINO_INT8 not in refused:
        reason = _find_int8_refusal(bundle)
        if reason:
            refused[EngineName.OPENVINO_INT8] = reason
    return refused


def _find_int8_refusal(bundle: Bundle) -> str:
    if bundle.int8 is None:
        return "the bundle has no 8-bit ranges: normwatch models quantise"
    found = bundle.int8.rank_correlation
    if found < LEAST_RANK_CORRELATION:
        return (
            f"its scores agree with fp32's by {found:.4f} only (rank correlation, at least "
            f"{LEAST_RANK_CORRELATION})"
        )
    return ""


def list_engines(bundle: Bundle, device: str = "cpu") -> list[EngineName]:
    """List what this machine and this bundle can run on that device."""
    refused = find_refusals(bundle, device)
    return [name for name in EngineName if name not in refused]


def make_program(bundle: Bundle, required: RequiredMeasures) -> EngineProgram:
    """Make what an engine runs from a bundle."""
    network = LiveNetwork(bundle.network, bundle.config)
    return EngineProgram(bundle.config, network, Measuring(network.memory, bundle.config, required))


def open_engine(
    name: EngineName, bundle: Bundle, required: RequiredMeasures, device: str, threads: int
) -> Engine:
    """Open the engine, ready to run.

    Args: threads: used by an engine on a CPU that has threads of its own.
    Raises: EngineError: this machine or this bundle can't have it.
    """
    require_engine(name, bundle, device)
    made = make_program(bundle, required)
    if name is EngineName.OPENVINO_INT8 and bundle.int8 is not None:
        made = EngineProgram(
            made.config, quantise_network(made.network, bundle.int8.ranges), made.measuring
        )
    if name.value.startswith("openvino"):
        return OpenVinoEngine(made, name, bundle.items, threads)
    if name.on_gpu:
        return CudaEngine(made, name, torch.device(device))
    return TorchEngine(made, name, torch.device(device))


def require_engine(name: EngineName, bundle: Bundle, device: str) -> None:
    """Refuse an engine that is impossible here; slow or inexact is for the caller to judge.

    Raises: EngineError: this machine or this bundle can't have the engine.
    """
    if name.on_gpu and torch.device(device).type != "cuda":
        raise EngineError(f"engine {name} needs a GPU, and the device is {device}")
    if name.value.startswith("openvino"):
        import_openvino()
    if name is EngineName.OPENVINO_INT8 and bundle.int8 is None:
        raise EngineError(
            f"engine {name} needs 8-bit ranges, which bundle {bundle.name} lacks: "
            "normwatch models quantise"
        )


def choose_engine(
    bundle: Bundle, required: RequiredMeasures, device: str, threads: int
) -> EngineChoice:
    """Measure now which engine is the fastest of those that are exact enough.

    Args: threads: each of them is timed with so many: 1 compares them by core.
    Raises: EngineError: none can be had.
    """
    refused = find_refusals(bundle, device)
    engines: dict[EngineName, Engine] = {}
    for name in EngineName:
        if name in refused:
            continue
        try:
            opened = open_engine(name, bundle, required, device, threads)
            opened.run(*_make_sample(bundle))
            engines[name] = opened
        except (EngineError, RuntimeError) as error:  # a library that doesn't run here
            refused[name] = str(error).splitlines()[0][:200]
    if not engines:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise EngineError(f"no engine can be had: {reasons}")
    if len(engines) == 1:
        return EngineChoice(next(iter(engines)), {}, refused)
    frame_s = time_engines(list(engines.values()), bundle, threads)
    return EngineChoice(min(frame_s, key=frame_s.__getitem__), frame_s, refused)


def time_engines(
    engines: Sequence[Engine], bundle: Bundle, threads: int
) -> dict[EngineName, float]:
    """Measure the seconds for a frame of one camera: the median of a few rounds, engines in turn.

    Args: threads: used by PyTorch while it is timed; other engines have theirs.
    """
    sample = _make_sample(bundle)
    times: dict[EngineName, list[float]] = {engine.name: [] for engine in engines}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)  # or all cores at PyTorch would be compared with one
    try:
        for index in range(ROUNDS + 1):
            for engine in engines:
                spent = times[engine.name]
                if len(spent) > 2 and spent[0] > SLOW_S:
                    continue
                began = time.perf_counter()
                _synchronise(engine.run(*sample).queries)
                if index:  # the first one warms up
                    spent.append(time.perf_counter() - began)
    finally:
        torch.set_num_threads(before)
    return {name: statistics.median(spent) for name, spent in times.items()}


def _make_sample(bundle: Bundle) -> tuple[FrameStack, Tensor, NDArray[np.bool_]]:
    """Make noise of one camera, as `Engine.run` takes it."""
    config = bundle.config
    count = config.channels * (config.context + 1)
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (1, count, config.height, config.width), dtype=np.uint8)
    return frames, bundle.items, np.ones(1, np.bool_)


def _synchronise(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
