"""What `normwatch doctor` finds: the machine, and each bundle with the engines that can run it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch

from model.bundle import load
from model.catalog import BundleError
from model.detector import wanted_of
from model.engines.choice import choose, frame_seconds, open_engine
from model.engines.engine import EngineError
from model.engines.names import EngineName
from service.bench.machine import BUSY_SHARE, this_machine
from service.cli.evaluate import DEFAULT_FPS
from service.infer.device import container_cores

if TYPE_CHECKING:
    from model.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Machine:
    """What it has, and how busy it was when it was looked at."""

    processor: str
    cores: int
    all_cores: int
    usable_cores: int
    container_cores: float | None
    """The container's limit, where it is below the machine's cores."""
    instruction_sets: tuple[str, ...]
    missing_instruction_sets: tuple[str, ...]
    """Of those that engines differ by."""
    memory_gib: float
    free_memory_gib: float
    gpu: str | None
    no_gpu: str
    """Why there is none; empty where there is one."""
    torch: str
    openvino: str | None
    glibc_tunables: str | None
    """Allocator settings in force; None where they are the C library's own."""
    load: float
    """Runnable processes, mean of a minute."""

    @property
    def busy(self) -> bool:
        """Whether times were taken beside other work."""
        return self.load > BUSY_SHARE * self.all_cores


@dataclass(frozen=True, slots=True)
class EngineFinding:
    """One engine, with one bundle."""

    engine: EngineName
    chosen: bool
    refused: str
    """Why it can't be had; empty where it can."""
    frame_ms: float | None = None
    """Network and measures, of a frame of one camera; on a CPU, on one core."""
    fps_per_core: float | None = None
    """Frames a second of a core; on a GPU of batches of one, which is the least that it does."""
    cameras: int | None = None
    """At the bundle's frame rate, on the usable cores, of network and measures alone; not of a
    GPU, where it is a matter of batches."""


@dataclass(frozen=True, slots=True)
class BundleFinding:
    """One bundle, with all engines."""

    name: str
    path: str
    camera_fps: float
    camera_fps_known: bool
    """Whether the bundle says how many frames a second its camera has."""
    engines: tuple[EngineFinding, ...]
    error: str
    """Why nothing can run it; empty where something can."""

    @property
    def chosen(self) -> EngineFinding | None:
        """What would run it."""
        return next((each for each in self.engines if each.chosen), None)


def look_at_machine() -> Machine:
    """Look at it now."""
    seen = this_machine()
    limit = container_cores()
    memory = psutil.virtual_memory()
    gpu, no_gpu = _gpu()
    return Machine(
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
        openvino=_version("openvino"),
        glibc_tunables=os.environ.get("GLIBC_TUNABLES") or None,
        load=seen.load,
    )


def _gpu() -> tuple[str | None, str]:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name(), ""
    if torch.version.cuda is None and torch.version.hip is None:
        return None, "this PyTorch is built for processors alone"
    return None, "PyTorch finds none"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def examine(path: Path, device: str, wanted: EngineName | None, usable_cores: int) -> BundleFinding:
    """Try and time every engine on a bundle. Times PyTorch on one thread.

    Args: wanted: the engine that is set; None takes the fastest.
    """
    try:
        bundle = load(path)
    except BundleError as error:
        return BundleFinding(path.name, str(path), DEFAULT_FPS, False, (), str(error))
    rate = bundle.provenance.frame_rate
    fps = rate or DEFAULT_FPS
    try:
        chosen, times, refused = _tried(bundle, device, wanted)
        error_text = refused.get(chosen, "")
    except (BundleError, EngineError) as error:
        chosen, times, refused, error_text = None, {}, {}, str(error)
    engines = tuple(
        EngineFinding(name, False, refused[name])
        if name in refused
        else _timed(name, times[name], fps, usable_cores, chosen=name is chosen)
        for name in EngineName
        if name in refused or name in times
    )
    return BundleFinding(path.name, str(path), fps, rate is not None, engines, error_text)


def _tried(
    bundle: Bundle, device: str, wanted: EngineName | None
) -> tuple[EngineName, dict[EngineName, float], dict[EngineName, str]]:
    """The engine at work, seconds a frame of each that can be had, reasons of the others.

    Raises: EngineError: none can be had. BundleError: its parts don't fit.
    """
    measured = wanted_of(bundle)
    choice = choose(bundle, measured, device, threads=1)
    times, refused = dict(choice.frame_s), dict(choice.refused)
    extra = [choice.engine] if not times else []
    if wanted is not None and wanted in refused:
        extra.append(wanted)  # what is slow or inexact is refused by us, not by a user
    for name in extra:
        try:
            opened = open_engine(name, bundle, measured, device, threads=1)
            times |= frame_seconds([opened], bundle, threads=1)
            refused.pop(name, None)
        except (EngineError, RuntimeError) as error:
            refused[name] = str(error).splitlines()[0]
    return wanted or choice.engine, times, refused


def _timed(
    name: EngineName, seconds: float, camera_fps: float, cores: int, *, chosen: bool
) -> EngineFinding:
    fps = 1.0 / seconds
    cameras = None if name.on_gpu else int(fps * cores / camera_fps)
    return EngineFinding(name, chosen, "", 1e3 * seconds, fps, cameras)


def works(findings: Sequence[BundleFinding]) -> bool:
    """Whether each can be run."""
    return all(finding.chosen is not None for finding in findings)
