"""Measures the cost of capturing a camera: CPU of its process and its reader, memory, start-up.

    .venv/bin/python scripts/measure_capture.py [--source URL] [--cameras N] [--seconds S] [--rgb]

Without a source, the drawn scene is served over RTSP (H.264, 360x240, 10 frames/s) by GStreamer.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from model.frames import FrameShape
from service.capture.camera_capture import CameraCapture
from service.capture.capture_messages import CaptureJob
from service.tools.bench.rtsp import RtspServer
from service.tools.demo import walkway
from service.tools.demo.video import write_video
from tests.support.servers import wait_for

WARM_UP_S = 3.0


@dataclass(frozen=True, slots=True)
class CpuReading:
    """CPU seconds and frames so far."""

    children_s: float
    own_s: float
    frames: int


def main() -> None:
    """Print one line a figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", help="a URL or a video file")
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rgb", action="store_true", help="as for a network of three channels")
    options = parser.parse_args()
    shape = FrameShape(256, 256, 3 if options.rgb else 1)
    with _open_source(options.source, options.seconds + WARM_UP_S + 5.0) as location:
        job = CaptureJob(location, shape, fps=10.0)
        captures = [CameraCapture(job, ring_frames=16) for _ in range(options.cameras)]
        try:
            _measure(captures, options.seconds)
        finally:
            for capture in captures:
                capture.close()


def _measure(captures: Sequence[CameraCapture], seconds: float) -> None:
    began = time.monotonic()
    for capture in captures:
        capture.start()
    wait_for(lambda: all(capture.status.captured for capture in captures), "the first frames", 60.0)
    started_s = time.monotonic() - began
    processes = [psutil.Process(capture.pid) for capture in captures if capture.pid is not None]
    starting_s = sum(_read_cpu_s(process) for process in processes)
    _drain(captures, WARM_UP_S)
    before = _read(processes, captures)
    _drain(captures, seconds)
    after = _read(processes, captures)
    frames = after.frames - before.frames
    each = 1000.0 / max(frames, 1)
    own = f"{each * (after.own_s - before.own_s):.2f}"
    memory = max(process.memory_info().rss for process in processes) / 2**20
    unique = max(process.memory_full_info().uss for process in processes) / 2**20
    print(f"cameras                        {len(captures)}")
    print(f"frames                         {frames} in {seconds:g} s")
    print(f"capture process, ms a frame    {each * (after.children_s - before.children_s):.2f}")
    print(f"reader in the worker, ms       {own}")
    print(f"memory of a process, MB        {memory:.0f} (its own: {unique:.0f})")
    print(f"until all give frames, s       {started_s:.2f}")
    print(f"CPU of one start, s            {starting_s / len(processes):.2f}")


def _drain(captures: Sequence[CameraCapture], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for capture in captures:
            while capture.pop() is not None:
                pass
        time.sleep(0.2)


def _read(processes: Sequence[psutil.Process], captures: Sequence[CameraCapture]) -> CpuReading:
    return CpuReading(
        sum(_read_cpu_s(process) for process in processes),
        time.process_time(),
        sum(capture.status.captured for capture in captures),
    )


def _read_cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def _open_source(given: str | None, seconds: float) -> Iterator[str]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "scene.mp4"
        write_video(video, walkway.draw_frames(0, seconds))
        server = RtspServer({"/scene": video})
        server.start()
        try:
            yield f"{server.base}/scene"
        finally:
            server.kill()


if __name__ == "__main__":
    main()
