"""Which frames are taken, how long pauses are, what the ring keeps."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from itertools import cycle, repeat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.footage.footage_error import SourceFault
from model.footage.sampling import Sampler
from service.capture.backoff import LOCAL_S, LONGEST_S, NOT_VIDEO_S, REFUSED_S, Backoff
from service.capture.capture_messages import (
    Alive,
    CapturedFrame,
    CaptureJob,
    Ended,
    Failed,
    Frozen,
    LostFrames,
    Message,
    MessageDecoder,
    encode,
    send,
)
from service.capture.ring import Ring
from service.errors import SourceError
from service.settings import Settings
from tests.support.cameras import job


def taken(fps: float | None, times: list[float]) -> list[float]:
    sampler = Sampler(fps)
    return [time for time in times if sampler.takes(time)]


def test_without_a_target_all_frames_are_taken() -> None:
    assert taken(None, [0.0, 0.01, 0.5]) == [0.0, 0.01, 0.5]


@pytest.mark.parametrize(("source", "target"), [(25, 10), (30, 10), (12.5, 10), (60, 7), (25, 5)])
def test_a_faster_source_comes_down_to_the_target(source: float, target: float) -> None:
    times = [i / source for i in range(int(60 * source))]
    found = taken(target, times)
    assert len(found) == pytest.approx(60 * target, rel=0.03)
    assert max(np.diff(found)) <= 1 / target + 1 / source + 1e-6


@pytest.mark.parametrize("source", [5.0, 9.9, 10.0, 10.01, 11.0])
def test_a_source_at_about_the_target_is_taken_whole_in_spite_of_jitter(source: float) -> None:
    random = np.random.default_rng(1)
    times = [i / source + random.uniform(-0.02, 0.02) for i in range(2000)]
    assert len(taken(10.0, times)) >= 1990


def test_a_clock_set_back_does_not_stop_the_camera() -> None:
    times = [1000 + i * 0.1 for i in range(50)] + [i * 0.1 for i in range(50)]
    assert len(taken(5.0, times)) >= 48


def test_pauses_grow_are_bounded_and_start_again_after_a_steady_time() -> None:
    backoff = Backoff(jitter=lambda: 0.0)
    pauses = [backoff.next_s() for _ in range(2000)]
    assert pauses[:4] == [0.5, 1.0, 2.0, LONGEST_S]
    assert pauses[-1] == LONGEST_S
    assert backoff.next_s(steady_s=11.0) == 0.5


def test_a_refused_password_isn_t_hammered_and_a_camera_is_back_within_ten_seconds() -> None:
    backoff = Backoff(jitter=lambda: 0.0)
    settings = Settings()
    assert backoff.next_s(fault=SourceFault.REFUSED) == REFUSED_S >= 60.0
    assert backoff.next_s(fault=SourceFault.NOT_VIDEO, is_live=False) == LOCAL_S
    longest = max(
        backoff.next_s(fault=fault) for fault in (SourceFault.UNREACHABLE, SourceFault.NOT_VIDEO)
    )
    assert longest == NOT_VIDEO_S
    assert longest + settings.connect_timeout_s < 10.0
    assert LONGEST_S + settings.read_timeout_s < 10.0


def test_jitter_takes_away_at_most_half() -> None:
    assert Backoff(jitter=lambda: 0.999).next_s() == pytest.approx(0.25, rel=0.01)


def frame(sequence: int, cut: bool = False) -> CapturedFrame:
    return CapturedFrame(float(sequence), sequence, np.zeros((2, 2), np.uint8), None, cut)


def test_the_ring_drops_the_oldest_counts_it_and_cuts_what_follows() -> None:
    ring = Ring(3)
    for sequence in range(5):
        ring.push(frame(sequence))
    left = [ring.pop(), ring.pop(), ring.pop()]
    assert [f.sequence for f in left if f] == [2, 3, 4]
    assert [f.cut for f in left if f] == [True, False, False]
    assert ring.dropped == 2
    assert ring.pop() is None


@given(st.lists(st.floats(0.0, 9.0), unique=True, max_size=9), st.floats(0.0, 9.0))
def test_stale_frames_leave_the_ring_in_order_but_for_the_newest(
    times: list[float], before: float
) -> None:
    ring = Ring(10)
    times.sort()
    for time in times:
        ring.push(CapturedFrame(time, 0, np.zeros((2, 2), np.uint8)))
    stale = [f.captured_at for f in ring.pop_stale(before)]
    assert stale == [time for time in times[:-1] if time < before]
    assert len(ring) == len(times) - len(stale)
    assert ring.dropped == 0


MESSAGES: list[Message] = [
    LostFrames(2),
    CapturedFrame(1.5, 7, np.arange(12, dtype=np.uint8).reshape(3, 4), b"jpeg", True),
    Alive(),
    CapturedFrame(2.5, 8, np.arange(24, dtype=np.uint8).reshape(2, 4, 3)),
    Failed("it is gone", SourceFault.REFUSED),
    Frozen(7, "the same picture again and again"),
    Ended(),
]


def read(data: bytes, sizes: Iterator[int]) -> list[Message]:
    """What a decoder makes of bytes that come in pieces of these sizes."""
    decoder, position = MessageDecoder(), 0
    found: list[Message] = []
    while position < len(data):
        room = decoder.room()
        piece = data[position : position + min(next(sizes), len(room))]
        room[: len(piece)] = piece
        position += len(piece)
        message = decoder.accept(len(piece))
        found += [message] if message is not None else []
    return found


@given(st.lists(st.integers(1, 60), min_size=1))
def test_messages_survive_however_the_pipe_cuts_them(sizes: list[int]) -> None:
    data = b"".join(bytes(part) for message in MESSAGES for part in encode(message))
    found = read(data, cycle(sizes))
    for got, sent in zip(found, MESSAGES, strict=True):
        if isinstance(sent, CapturedFrame):
            assert isinstance(got, CapturedFrame)
            np.testing.assert_array_equal(got.pixels, sent.pixels)
            assert (got.captured_at, got.sequence) == (sent.captured_at, sent.sequence)
            assert (got.preview, got.cut) == (sent.preview, sent.cut)
        else:
            assert got == sent


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(SourceError):
        read(b"Segmentation fault in some library\n", repeat(1000))


def test_a_frame_may_be_larger_than_the_pipe() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1200, 1600), dtype=np.uint8)
    reading, writing = os.pipe()
    sent = CapturedFrame(1.0, 0, pixels, b"jpeg")
    writer = threading.Thread(target=send, args=(writing, sent))
    writer.start()
    decoder, message = MessageDecoder(), None
    while message is None:
        message = decoder.accept(os.readv(reading, [decoder.room()]))
    writer.join()
    os.close(reading)
    assert isinstance(message, CapturedFrame)
    np.testing.assert_array_equal(message.pixels, pixels)
    with pytest.raises(BrokenPipeError):
        send(writing, Alive())
    os.close(writing)


def test_a_job_survives_the_pipe() -> None:
    sent = job("rtsp://user:päss@host/x", fps=5.0, loop=True)
    assert CaptureJob.from_line(sent.to_line()) == sent
