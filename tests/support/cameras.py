"""What the tests of capture and inference share: jobs, frames drawn from captures, drawn videos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from model.frames import Frame, FrameShape, fit
from service.capture.camera_capture import CameraCapture
from service.capture.capture_messages import CapturedFrame, CaptureJob
from tests.support.footage import Picture, write_video
from tests.support.servers import wait_for

SHAPE = FrameShape(64, 64, 1)


def numbered_picture(number: int, size: tuple[int, int] = (96, 96)) -> Picture:
    """A picture whose number can be read back after H.264: eight black or white fields."""
    picture = np.full((*size, 3), 128, np.uint8)
    for bit in range(8):
        left = bit * size[1] // 8
        picture[:, left : left + size[1] // 8] = 235 if number >> bit & 1 else 20
    return picture


def read_number(frame: Frame) -> int:
    """The number that `numbered_picture` drew, from a fitted grey frame."""
    width = frame.shape[1]
    middles = [(2 * bit + 1) * width // 16 for bit in range(8)]
    return sum(int(frame[frame.shape[0] // 2, x] > 128) << bit for bit, x in enumerate(middles))


def numbered_video(path: Path, frames: int, fps: int = 10) -> Path:
    """A video of numbered pictures."""
    return write_video(path, (numbered_picture(i) for i in range(frames)), fps)


def numbered_folder(path: Path, frames: int) -> Path:
    """A folder of numbered pictures."""
    path.mkdir()
    for number in range(frames):
        if not cv2.imwrite(str(path / f"{number}.png"), numbered_picture(number)):
            raise OSError(path)
    return path


def expected_frame(number: int) -> Frame:
    """The fitted frame of a numbered picture."""
    return fit(numbered_picture(number), SHAPE)


def job(location: str | Path, **changes: object) -> CaptureJob:
    """A job with short time limits."""
    fields: dict[str, object] = {"connect_timeout_s": 5.0, "read_timeout_s": 3.0, **changes}
    return CaptureJob(str(location), SHAPE, **fields)  # type: ignore[arg-type]


def take(capture: CameraCapture, count: int, timeout_s: float = 30.0) -> list[CapturedFrame]:
    """Wait for so many frames."""
    frames: list[CapturedFrame] = []

    def enough() -> bool:
        while (frame := capture.pop()) is not None:
            frames.append(frame)
        return len(frames) >= count

    wait_for(enough, f"{count} frames", timeout_s)
    return frames
