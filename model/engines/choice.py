"""Which engines a machine and a bundle can have, and which of them is the fastest there."""

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

from model.bundle import Bundle
from model.engines.engine import Engine, EngineError, FrameStack, Program
from model.engines.forms import LiveNetwork, Measuring, Wanted
from model.engines.names import EngineName
from model.engines.openvino_engine import OpenVinoEngine, runtime
from model.engines.quantisation import quantised
from model.engines.torch_engine import CudaEngine, TorchEngine

LEAST_RANK_CORRELATION = 0.99
"""Of an engine's scores with those of fp32, on normal footage that the bundle wasn't trained on."""
ROUNDS = 7
"""Frames that each engine is timed on, in turn with the others: a busy machine slows all alike."""
SLOW_S = 0.5
"""Of an engine whose first frame takes so long, a few rounds say enough."""
_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_tile")
CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Processor:
    """What matters of a machine's processor."""

    name: str
    flags: frozenset[str]
    """Of the instruction sets that engines differ by."""

    @property
    def computes_bf16(self) -> bool:
        """Whether it multiplies bf16; elsewhere that is emulated, and slow."""
        return bool(self.flags & {"avx512_bf16", "amx_tile"})


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine for a bundle on this machine, and why."""

    engine: EngineName
    frame_s: dict[EngineName, float]
    """Seconds a frame, of one camera, median; empty where there was nothing to choose from."""
    refused: dict[EngineName, str]
    """Those that can't be had, each with the reason."""


def processor(cpuinfo: Path = CPUINFO) -> Processor:
    """This machine's. Unknown ones have no flags."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    fields: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or os.uname().machine
    return Processor(name, frozenset(fields.get("flags", "").split()) & set(_FLAGS))


def refusals(
    bundle: Bundle, device: str, machine: Processor | None = None
) -> dict[EngineName, str]:
    """Why an engine can't be had, of each that can't, on this machine or such a one."""
    refused: dict[EngineName, str] = {}
    gpu = torch.device(device).type == "cuda"
    bf16 = (machine or processor()).computes_bf16
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
        reason = _int8_refusal(bundle)
        if reason:
            refused[EngineName.OPENVINO_INT8] = reason
    return refused


def _int8_refusal(bundle: Bundle) -> str:
    if bundle.int8 is None:
        return "the bundle has no 8-bit ranges: normwatch models quantise"
    found = bundle.int8.rank_correlation
    if found < LEAST_RANK_CORRELATION:
        return (
            f"its scores agree with fp32's by {found:.4f} only (rank correlation, at least "
            f"{LEAST_RANK_CORRELATION})"
        )
    return ""


def available(bundle: Bundle, device: str = "cpu") -> list[EngineName]:
    """What this machine and this bundle can run, on that device."""
    refused = refusals(bundle, device)
    return [name for name in EngineName if name not in refused]


def program(bundle: Bundle, wanted: Wanted) -> Program:
    """What an engine is to run of a bundle."""
    network = LiveNetwork(bundle.network, bundle.config)
    return Program(bundle.config, network, Measuring(network.memory, bundle.config, wanted))


def open_engine(
    name: EngineName, bundle: Bundle, wanted: Wanted, device: str, threads: int
) -> Engine:
    """The engine, ready.

    Args: threads: of an engine on a CPU that has threads of its own.
    Raises: EngineError: this machine or this bundle can't have it.
    """
    require(name, bundle, device)
    made = program(bundle, wanted)
    if name is EngineName.OPENVINO_INT8 and bundle.int8 is not None:
        made = Program(made.config, quantised(made.network, bundle.int8.ranges), made.measuring)
    if name.value.startswith("openvino"):
        return OpenVinoEngine(made, name, bundle.items, threads)
    if name.on_gpu:
        return CudaEngine(made, name, torch.device(device))
    return TorchEngine(made, name, torch.device(device))


def require(name: EngineName, bundle: Bundle, device: str) -> None:
    """Slow or inexact is for the caller to decide; impossible isn't.

    Raises: EngineError: this machine or this bundle can't have the engine.
    """
    if name.on_gpu and torch.device(device).type != "cuda":
        raise EngineError(f"engine {name} needs a GPU, and the device is {device}")
    if name.value.startswith("openvino"):
        runtime()
    if name is EngineName.OPENVINO_INT8 and bundle.int8 is None:
        raise EngineError(
            f"engine {name} needs 8-bit ranges, which bundle {bundle.name} lacks: "
            "normwatch models quantise"
        )


def choose(bundle: Bundle, wanted: Wanted, device: str, threads: int) -> Choice:
    """The fastest engine, of those that are exact enough, as measured now.

    Args: threads: that each of them is timed with: 1 compares them by core.
    Raises: EngineError: none can be had.
    """
    refused = refusals(bundle, device)
    engines: dict[EngineName, Engine] = {}
    for name in EngineName:
        if name in refused:
            continue
        try:
            opened = open_engine(name, bundle, wanted, device, threads)
            opened.run(*_sample(bundle))
            engines[name] = opened
        except (EngineError, RuntimeError) as error:  # a library that doesn't run here
            refused[name] = str(error).splitlines()[0][:200]
    if not engines:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise EngineError(f"no engine can be had: {reasons}")
    if len(engines) == 1:
        return Choice(next(iter(engines)), {}, refused)
    times = frame_seconds(list(engines.values()), bundle, threads)
    return Choice(min(times, key=times.__getitem__), times, refused)


def frame_seconds(
    engines: Sequence[Engine], bundle: Bundle, threads: int
) -> dict[EngineName, float]:
    """Seconds for a frame of one camera: median of a few rounds, the engines taking turns.

    Args: threads: of PyTorch, while it is timed; other engines have theirs.
    """
    sample = _sample(bundle)
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
                _finish(engine.run(*sample).queries)
                if index:  # the first one warms up
                    spent.append(time.perf_counter() - began)
    finally:
        torch.set_num_threads(before)
    return {name: statistics.median(spent) for name, spent in times.items()}


def _sample(bundle: Bundle) -> tuple[FrameStack, Tensor, NDArray[np.bool_]]:
    """Noise of one camera, as `Engine.run` takes it."""
    config = bundle.config
    count = config.channels * (config.context + 1)
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (1, count, config.height, config.width), dtype=np.uint8)
    return frames, bundle.items, np.ones(1, np.bool_)


def _finish(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
