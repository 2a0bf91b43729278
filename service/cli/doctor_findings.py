"""Examines the machine and the bundles for `normwatch doctor`: which engines can run which."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch

from model.bundles.bundle import load
from model.bundles.catalog import DEFAULT_FPS, BundleError
from model.engines.choice import choose_engine, open_engine, time_engines
from model.engines.engine import EngineError
from model.engines.names import EngineName
from model.engines.required_measures import find_required_measures
from service.infer.device import container_cores
from service.tools.bench.machine import BUSY_SHARE, inspect_machine

if TYPE_CHECKING:
    from model.bundles.bundle import Bundle


@dataclass(frozen=True, slots=True)
class MachineFinding:
    """What the machine has, and how busy it was."""

    processor: str
    cores: int
    all_cores: int
    usable_cores: int
    container_cores: float | None
    """The container's limit, where it is below the machine's cores."""
    instruction_sets: tuple[str, ...]
    missing_instruction_sets: tuple[str, ...]
    """Instruction sets that engines differ by and that it lacks."""
    memory_gib: float
    free_memory_gib: float
    gpu: str | None
    no_gpu: str
    """Why no GPU was found; empty where one was."""
    torch: str
    openvino: str | None
    glibc_tunables: str | None
    """Allocator settings in force; None where they are the C library's own."""
    load: float
    """Runnable processes, mean of a minute."""

    @property
    def busy(self) -> bool:
        """Is true where other programs ran at the start."""
        return self.load > BUSY_SHARE * self.all_cores


@dataclass(frozen=True, slots=True)
class EngineFinding:
    """What was found of one engine with one bundle."""

    engine: EngineName
    chosen: bool
    refused: str
    """Why it can't be used; empty where it can."""
    frame_ms: float | None = None
    """Time of a frame, network and measures, of one camera; on a CPU, on one core."""
    fps_per_core: float | None = None
    """Frames a second of a core; on a GPU in batches of one, its slowest case."""
    cameras: int | None = None
    """Cameras at the bundle's frame rate that the usable cores hold by network and measures; None
    on a GPU, where it depends on batches."""


@dataclass(frozen=True, slots=True)
class BundleFinding:
    """What was found of one bundle with all engines."""

    name: str
    path: str
    camera_fps: float
    camera_fps_known: bool
    """True where the bundle says how many frames a second its camera has."""
    engines: tuple[EngineFinding, ...]
    error: str
    """Why no engine can run it; empty where one can."""

    @property
    def chosen(self) -> EngineFinding | None:
        """The engine that would run it."""
        return next((each for each in self.engines if each.chosen), None)


def examine_machine() -> MachineFinding:
    """Find out about the machine."""
    seen = inspect_machine()
    limit = container_cores()
    memory = psutil.virtual_memory()
    gpu, no_gpu = _find_gpu()
    return MachineFinding(
        processor=seen.processor,
        cores=len(os.sched_getaffinity(0)),
        all_cores=seen.all_cores,
        usable_cores=seen.cores,
        container_cores=limit if limit is not None and limit < seen.all_cores else None,
        instruction_sets=seen.instruction_sets,
        missing_instruction_sets=seen.missing,
        memory_gib=memory.total / 2**30,
        free_memory_gib=memory.available / 2**30,
        gpu=gpu,
        no_gpu=no_gpu,
        torch=torch.__version__,
        openvino=_find_version("openvino"),
        glibc_tunables=os.environ.get("GLIBC_TUNABLES") or None,
        load=seen.load,
    )


def _find_gpu() -> tuple[str | None, str]:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name(), ""
    if torch.version.cuda is None and torch.version.hip is None:
        return None, "this PyTorch is built for processors alone"
    return None, "PyTorch finds none"


def _find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def examine_bundle(
    path: Path, device: str, requested: EngineName | None, usable_cores: int
) -> BundleFinding:
    """Try and time every engine on a bundle. Times PyTorch on one thread.

    Args: requested: the engine that is set; None takes the fastest.
    """
    try:
        bundle = load(path)
    except BundleError as error:
        return BundleFinding(path.name, str(path), DEFAULT_FPS, False, (), str(error))
    rate = bundle.provenance.frame_rate
    fps = rate or DEFAULT_FPS
    try:
        chosen, times, refused = _try_engines(bundle, device, requested)
        error_text = refused.get(chosen, "")
    except (BundleError, EngineError) as error:
        chosen, times, refused, error_text = None, {}, {}, str(error)
    engines = tuple(
        EngineFinding(name, False, refused[name])
        if name in refused
        else _make_finding(name, times[name], fps, usable_cores, chosen=name is chosen)
        for name in EngineName
        if name in refused or name in times
    )
    return BundleFinding(path.name, str(path), fps, rate is not None, engines, error_text)


def _try_engines(
    bundle: Bundle, device: str, requested: EngineName | None
) -> tuple[EngineName, dict[EngineName, float], dict[EngineName, str]]:
    """Return the chosen engine, each usable one's seconds a frame, and why others can't be used.

    Raises: EngineError: none can be used. BundleError: its parts don't fit.
    """
    measured = find_required_measures(bundle)
    choice = choose_engine(bundle, measured, device, threads=1)
    times, refused = dict(choice.frame_s), dict(choice.refused)
    extra = [choice.engine] if not times else []
    if requested is not None and requested in refused:
        extra.append(requested)  # the user may take one that is slow or inexact
    for name in extra:
        try:
            opened = open_engine(name, bundle, measured, device, threads=1)
            times |= time_engines([opened], bundle, threads=1)
            refused.pop(name, None)
        except (EngineError, RuntimeError) as error:
            refused[name] = str(error).splitlines()[0]
    return requested or choice.engine, times, refused


def _make_finding(
    name: EngineName, seconds: float, camera_fps: float, cores: int, *, chosen: bool
) -> EngineFinding:
    fps = 1.0 / seconds
    cameras = None if name.on_gpu else int(fps * cores / camera_fps)
    return EngineFinding(name, chosen, "", 1e3 * seconds, fps, cameras)


def can_run_all(findings: Sequence[BundleFinding]) -> bool:
    """Return whether each bundle can be run."""
    return all(finding.chosen is not None for finding in findings)
