"""Measures the cost of events' pictures and clips: JPEG in the camera's process, bytes, encoding.

    taskset -c 0 .venv/bin/python -m scripts.measure_pictures VIDEO...
        [--size 1920x1080] [--fps 10]

Each picture is made as in a camera's process, from a frame scaled to `--size`. Times are the
thread's processor time, so that other processes matter little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np

from model.footage.source_pictures import VideoPicture
from service.bus.picture_requests import SentShot
from service.infer.reel import MAX_BYTES, SLACK_S
from service.media.clip import encode_clip
from service.messages import Shot
from service.settings import Settings

MOST = 400
"""At most this many pictures of a video are used."""
CLIPS_S = (15.0, 35.0)


def main() -> None:
    """Print a line a figure, for each video."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--fps", type=float, default=Settings().clip_fps)
    options = parser.parse_args()
    columns, rows = map(int, options.size.split("x"))
    for video in options.videos:
        print(f"{video.name}, {options.size}, {options.fps:g} pictures a second")
        jpegs, spent_s = _encode_pictures(video, columns, rows, options.fps)
        each_ms = 1000.0 * spent_s / len(jpegs)
        print(f"  a JPEG: {each_ms:.2f} ms, {0.1 * each_ms * options.fps:.2f} % of a core")
        sizes = np.array([len(jpeg) for jpeg in jpegs])
        held_s = Settings().clip_before_s + SLACK_S
        print(f"  bytes: {sizes.mean():.0f} on the average, {sizes.max()} at most")
        print(f"  {held_s:g} s: {held_s * options.fps * sizes.mean() / MAX_BYTES:.2f} of the reel")
        for clip_s in CLIPS_S:
            print(f"  {_describe_clip(jpegs, clip_s, options.fps)}")


def _encode_pictures(video: Path, columns: int, rows: int, fps: float) -> tuple[list[bytes], float]:
    """Encode `fps` JPEGs for each second of the video; also returns the processor's seconds."""
    width = Settings().preview_width
    jpegs: list[bytes] = []
    spent_s = 0.0
    for frame in _sample_frames(video, fps):
        large = frame.reformat(width=columns, height=rows, format="yuv420p")
        began = time.thread_time()
        jpegs.append(VideoPicture(large).jpeg(width))
        spent_s += time.thread_time() - began
        if len(jpegs) >= MOST:
            break
    return jpegs, spent_s


def _sample_frames(video: Path, fps: float) -> Iterator[av.VideoFrame]:
    due = 0.0
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            if (frame.time or 0.0) >= due - 0.002:
                due += 1.0 / fps
                yield frame


def _describe_clip(jpegs: Sequence[bytes], seconds: float, fps: float) -> str:
    shots = [
        SentShot(
            Shot(event_id="evt", frame=number, captured_at=1000.0 + number / fps),
            jpegs[number % len(jpegs)],
        )
        for number in range(round(seconds * fps))
    ]
    began = time.process_time()
    size = len(encode_clip(shots, fps))
    spent_s = time.process_time() - began
    return f"a clip of {seconds:g} s: {spent_s:.2f} s of a core, {size / 1e6:.2f} MB"


if __name__ == "__main__":
    main()
