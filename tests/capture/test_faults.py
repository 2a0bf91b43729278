"""A real RTSP camera behind a relay that misbehaves: each fault is named, and each is got over."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from service.capture.camera_capture import CameraCapture, CaptureState
from service.tools.soak.relay import Relay
from tests.support.cameras import job, take
from tests.support.rtsp import LiveCamera, live_camera
from tests.support.servers import wait_for


@pytest.fixture(scope="module")
def source() -> Iterator[LiveCamera]:
    """A live camera for all of them."""
    with live_camera("h264") as camera:
        yield camera


Misbehave = Callable[[Relay], None]
FAULTS: dict[str, tuple[Misbehave, str, set[CaptureState]]] = {
    "refuses": (Relay.refuse, "the connection is refused", {CaptureState.DOWN}),
    "stalls": (Relay.stall, "no picture for", {CaptureState.STALLED}),
    "garbage": (Relay.send_garbage, "", {CaptureState.DOWN, CaptureState.STALLED}),
    "trickles": (
        lambda relay: relay.throttle(200),
        "",
        {CaptureState.STALLED, CaptureState.DOWN},
    ),
    "resets": (Relay.reset, "", {CaptureState.DOWN}),
}


def test_each_fault_is_named_and_got_over_and_touches_no_other_camera(source: LiveCamera) -> None:
    """All at once, each with a relay of its own, beside a camera that nothing happens to."""
    relays = {name: Relay(source.port) for name in FAULTS}
    limits: dict[str, object] = {"connect_timeout_s": 2.0, "read_timeout_s": 3.0}
    cameras = {
        name: CameraCapture(job(f"rtsp://127.0.0.1:{relay.port}/live", **limits), ring_frames=100)
        for name, relay in relays.items()
    }
    cameras["good"] = CameraCapture(job(source.url, **limits), ring_frames=100)
    try:
        for camera in cameras.values():
            camera.start()
        for camera in cameras.values():
            take(camera, 5)
        reconnects = {name: camera.status.reconnects for name, camera in cameras.items()}
        seen: dict[str, set[CaptureState]] = {name: set() for name in FAULTS}
        for name, (misbehave, _, _) in FAULTS.items():
            misbehave(relays[name])

        def all_named() -> bool:
            for name, (_, reason, _) in FAULTS.items():
                status = cameras[name].status
                if status.reason.startswith(reason) and status.reason:
                    seen[name].add(status.state)
            return all(seen[name] & FAULTS[name][2] for name in FAULTS if name != "resets")

        wait_for(all_named, f"all to be named, {seen}")
        for relay in relays.values():
            relay.pass_through()
        for name in FAULTS:
            before = cameras[name].status.captured
            wait_for(
                lambda name=name, before=before: cameras[name].status.captured > before + 5,
                f"{name} to be got over",
            )
            assert cameras[name].status.state is CaptureState.PLAYING
        assert cameras["resets"].status.reconnects > reconnects["resets"]
        assert cameras["good"].status.reconnects == reconnects["good"]
        assert cameras["good"].status.state is CaptureState.PLAYING
    finally:
        for camera in cameras.values():
            camera.stop()
        for camera in cameras.values():
            camera.close()
        for relay in relays.values():
            relay.close()


def test_a_camera_that_accepts_and_says_nothing_is_seen_when_it_speaks(source: LiveCamera) -> None:
    with Relay(source.port) as relay:
        relay.silence()
        camera = CameraCapture(
            job(f"rtsp://127.0.0.1:{relay.port}/live", connect_timeout_s=1.0), ring_frames=100
        )
        camera.start()
        try:
            wait_for(lambda: camera.status.reconnects >= 1, "another attempt")
            assert (camera.status.state, camera.status.reason) == (
                CaptureState.DOWN,
                "no answer in time",
            )
            relay.pass_through()
            assert take(camera, 3)[0].cut
        finally:
            camera.close()
