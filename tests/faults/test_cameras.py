"""Every way in which a camera goes wrong, all at once: each is reported by its state and comes
back within seconds of its end, and the other cameras don't notice.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from service.tools.bench.camera_clips import write_clip
from service.tools.bench.rtsp import RtspServer
from service.tools.soak.relay import Relay
from tests.faults.story import Fault, Watched, Watchman, scored_times
from tests.faults.table import note
from tests.support.rtsp import live_camera, require_gstreamer
from tests.support.servers import wait_for
from tests.support.service import Service, running_service

FPS = 5.0
FAULT_S = 28.0
ABSENT_S = 30.0
BACK_S = 10.0
"""What is promised: from the camera's return to its next scored frame."""
SETTLE_S = 12.0
HEALTHY = ("healthy 1", "healthy 2")
AGE_S = 1.0
SETTINGS = {
    "NORMWATCH_FREEZE_AFTER_S": "5",
    "NORMWATCH_DOWN_AFTER_S": "6",
    "NORMWATCH_RECOVERED_AFTER_S": "3",
    "NORMWATCH_ALLOW_PRIVATE_RECEIVERS": "true",
    "NORMWATCH_MAX_FRAME_AGE_S": "0.5",
    "NORMWATCH_CAPTURE_RING_FRAMES": "32",
    "NORMWATCH_TORCH_THREADS": "1",
}
RIGHT, WRONG = "viewer:right", "viewer:wr@ng"


@dataclass
class Story:
    """The cameras, and what was done to them when."""

    cameras: dict[str, Watched]
    faults: dict[str, Fault]
    began: float
    healed: dict[str, float]
    ended: float
    messages: Counter[tuple[str, str]]
    """By stream's name and type."""
    attempts: int
    """Connections that the camera with the wrong password got meanwhile."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Story]:
    """All of it, in about a minute and a half."""
    require_gstreamer()
    folder = tmp_path_factory.mktemp("story")
    with ExitStack() as stack:
        yield _play_story(stack, folder, models_dir)


def _play_story(stack: ExitStack, folder: Path, models_dir: Path) -> Story:
    video = folder / "camera.mp4"
    write_clip(video, round(2 * FPS), 300.0)
    server = RtspServer({"/one": video})
    server.start()
    stack.callback(server.kill)
    user, password = RIGHT.split(":")
    locked = RtspServer({"/one": video}, user, password)
    locked.start()
    stack.callback(locked.kill)
    names = ("absent", "refuses", "silent", "stalls", "resets", "garbage")
    relays = {name: stack.enter_context(Relay(server.port)) for name in names}
    door = stack.enter_context(Relay(locked.port))
    lives = {
        name: stack.enter_context(live_camera(fps=10))
        for name in ("slow", "resizes", "loops", "freezes")
    }
    relays["absent"].refuse()
    hooks, messages = _receiver(stack)
    service = stack.enter_context(
        running_service(folder / "data", NORMWATCH_MODELS_DIR=str(models_dir), **SETTINGS)
    )
    service.create("/webhooks", url=hooks)
    urls = {name: f"rtsp://127.0.0.1:{relay.port}/one" for name, relay in relays.items()}
    urls |= {name: live.url for name, live in lives.items()}
    urls |= {name: f"{server.base}/one" for name in HEALTHY}
    urls["wrong password"] = f"rtsp://{WRONG}@127.0.0.1:{door.port}/one"
    cameras = {name: _register(service, name, url) for name, url in urls.items()}
    faults = {
        fault.name: fault
        for fault in (
            Fault(
                "absent",
                "not there at first, there after 30 s",
                lambda: None,
                relays["absent"].pass_through,
                frozenset({"down"}),
            ),
            Fault(
                "refuses",
                "refuses connections",
                relays["refuses"].refuse,
                relays["refuses"].pass_through,
                frozenset({"down"}),
            ),
            Fault(
                "silent",
                "cuts the connection, accepts others and says nothing",
                lambda: _fall_silent(relays["silent"]),
                relays["silent"].pass_through,
                frozenset({"down"}),
            ),
            Fault(
                "stalls",
                "goes silent in mid-stream",
                relays["stalls"].stall,
                relays["stalls"].pass_through,
                frozenset({"stalled"}),
            ),
            Fault(
                "resets",
                "resets the connection, once",
                relays["resets"].reset,
                lambda: None,
                frozenset({"live"}),
                is_outage=False,
            ),
            Fault(
                "garbage",
                "sends noise instead of RTSP",
                relays["garbage"].send_garbage,
                relays["garbage"].pass_through,
                frozenset({"down"}),
            ),
            Fault(
                "slow",
                "sends 1 frame/s and said 30",
                lambda: lives["slow"].tell(fps=1),
                lambda: lives["slow"].tell(fps=10),
                frozenset({"live"}),
                is_outage=False,
            ),
            Fault(
                "resizes",
                "changes its resolution in mid-stream",
                lambda: lives["resizes"].tell(size=[320, 240]),
                lambda: lives["resizes"].tell(size=[160, 120]),
                frozenset({"live"}),
                is_outage=False,
            ),
            Fault(
                "loops",
                "starts its timestamps again every 3 s",
                lambda: lives["loops"].tell(loop_s=3),
                lambda: lives["loops"].tell(loop_s=0),
                frozenset({"live"}),
                is_outage=False,
            ),
            Fault(
                "freezes",
                "sends the same picture again and again",
                lambda: lives["freezes"].tell(frozen=True),
                lambda: lives["freezes"].tell(frozen=False),
                frozenset({"frozen"}),
            ),
        )
    }
    watchman = Watchman(service, list(cameras.values()))
    with watchman.watch():
        ready = [
            camera for name, camera in cameras.items() if name not in ("absent", "wrong password")
        ]
        for camera in ready:
            wait_for(partial(_is, camera, "live"), f"{camera.name}: {camera.observed[-1:]}", 90)
        locked_out = cameras["wrong password"]
        wait_for(partial(_is, locked_out, "failed"), f"{locked_out.observed[-1:]}", 90)
        began, attempts = time.time(), door.accepted
        for fault in faults.values():
            fault.begin()
        time.sleep(FAULT_S)
        healed: dict[str, float] = {}
        for name, fault in faults.items():
            if name != "absent":
                fault.heal()
                healed[name] = time.time()
        time.sleep(ABSENT_S - FAULT_S)
        faults["absent"].heal()
        healed["absent"] = time.time()
        attempts = door.accepted - attempts
        right = f"rtsp://{RIGHT}@127.0.0.1:{door.port}/one"
        path = f"/streams/{cameras['wrong password'].stream_id}"
        assert service.client.patch(path, json={"source": right}).is_success
        healed["wrong password"] = time.time()
        time.sleep(SETTLE_S)
        ended = time.time()
    for camera in cameras.values():
        camera.times = scored_times(service.scores(camera.stream_id))
    return Story(cameras, faults, began, healed, ended, messages, attempts)


def _fall_silent(relay: Relay) -> None:
    relay.silence()
    relay.reset()


def _receiver(stack: ExitStack) -> tuple[str, Counter[tuple[str, str]]]:
    messages: Counter[tuple[str, str]] = Counter()

    def take(request: Request) -> Response:
        body = json.loads(request.get_data())
        messages[body["data"]["stream_name"], body["type"]] += 1
        return Response(status=204)

    receiver = stack.enter_context(HTTPServer())
    receiver.expect_request("/hook").respond_with_handler(take)
    return receiver.url_for("/hook"), messages


def _register(service: Service, name: str, url: str) -> Watched:
    stream = service.create("/streams", name=name, source=url, model="small", fps=FPS)
    return Watched(name, stream["id"])


def _is(camera: Watched, state: str) -> bool:
    return bool(camera.observed) and camera.observed[-1].state == state


FAULTS = (
    "absent",
    "refuses",
    "silent",
    "stalls",
    "resets",
    "garbage",
    "slow",
    "resizes",
    "loops",
    "freezes",
)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_reported_and_the_camera_is_back_within_seconds(story: Story, name: str) -> None:
    camera, fault, healed = story.cameras[name], story.faults[name], story.healed[name]
    states = camera.states(story.began, healed)
    back = camera.back_s(healed)
    assert fault.expected & set(states), states
    assert back is not None and back < BACK_S, camera.states(healed, story.ended)
    gap = camera.longest_gap_s(healed + back, story.ended - 2.0)
    assert gap < 3.0
    sent = {kind: story.messages[name, f"stream.{kind}"] for kind in ("down", "recovered")}
    expected = {"down": 1, "recovered": 1} if fault.is_outage else {"down": 0, "recovered": 0}
    assert sent == expected, [(each.at, each.state, each.reason) for each in camera.observed]
    why = "; ".join(sorted(camera.reasons(story.began, healed)))
    note(
        fault.promise,
        f"back within {BACK_S:.0f} s, notified once"
        if fault.is_outage
        else "no outage is notified",
        f"{' → '.join(states)}{f' ({why})' if why else ''}; scored again {back:.1f} s after",
    )


def test_a_slow_camera_s_frames_are_all_scored(story: Story) -> None:
    camera = story.cameras["slow"]
    start, end = story.began + 3.0, story.healed["slow"]
    inside = [at for at in camera.times if start <= at < end]
    assert len(inside) >= 0.7 * (end - start)


def test_a_wrong_password_is_named_and_not_hammered(story: Story) -> None:
    camera, healed = story.cameras["wrong password"], story.healed["wrong password"]
    reasons = camera.reasons(story.began, healed)
    assert camera.states(story.began, healed) == ["failed"]
    assert any("password" in reason for reason in reasons)
    assert not any("wr@ng" in reason for reason in reasons)
    assert story.attempts <= 4
    back = camera.back_s(healed)
    assert back is not None and back < BACK_S
    note(
        "wrong password",
        "the state says so; no hammering; the right one helps at once",
        f"failed ({'; '.join(sorted(reasons))}); {story.attempts} connections in "
        f"{healed - story.began:.0f} s; scored {back:.1f} s after the right one was set",
    )


def test_the_other_cameras_do_not_notice(story: Story) -> None:
    ages, gaps = [], []
    for name in HEALTHY:
        camera = story.cameras[name]
        assert camera.states(story.began, story.ended) == ["live"]
        ages.append(camera.worst_age_s(story.began, story.ended))
        gaps.append(camera.longest_gap_s(story.began, story.ended - 2.0))
        assert story.messages[name, "stream.down"] == 0
    assert max(ages) < AGE_S
    note(
        "all of these at once, next to two healthy cameras",
        f"the healthy ones' frame age stays under {AGE_S:.0f} s",
        f"p99 of frame age {max(ages):.2f} s at its worst, longest gap {max(gaps):.1f} s",
    )
