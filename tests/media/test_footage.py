"""Pictures of events through Redis: asked for, sent by the owner alone, bounded, gone in time."""

from __future__ import annotations

import pytest
from redis import Redis

from service import keys
from service.bus.leases import Leases
from service.bus.picture_requests import MAX_WAITING, REQUEST_TTL_S, SHOTS_TTL_S, SentShot, Shots
from service.bus.registry import Registry
from service.infer.reel import Reel, ReelPicture
from service.infer.shot_sender import OwnedReel, ShotSender
from service.messages import RequestedEvent, ShotRequest
from tests.media.shots import EVENT, shot


def _make_request(after_frame: int = -1, **changes: object) -> ShotRequest:
    fields = {"event_id": EVENT, "first_frame": 20, "after_frame": after_frame, **changes}
    return ShotRequest(before_s=1.0, events=(RequestedEvent.model_validate(fields),))


def _epoch(redis: Redis) -> int:
    epoch = Leases(redis, "worker", 60.0).acquire("cam")
    assert epoch is not None
    return epoch


def _frames(shots: list[SentShot]) -> list[int]:
    return [each.meta.frame for each in shots]


def test_what_is_asked_for_is_sent_once_in_order(each_redis: Redis) -> None:
    footage, epoch = Shots(each_redis), _epoch(each_redis)
    footage.request({"cam": _make_request(), "other": _make_request(7)})
    assert footage.read_requests(["cam", "third", "other"]) == {
        "cam": _make_request(),
        "other": _make_request(7),
    }
    sent = [shot(20), shot(21, score=0.5, peak=True)]
    assert footage.send("cam", epoch, sent) == 2
    assert footage.receive(["cam", "other"], 9) == {"cam": sent}
    assert footage.receive(["cam"], 9) == {}
    footage.request({})


def test_nothing_is_sent_that_nobody_asks_for_or_by_an_old_owner(each_redis: Redis) -> None:
    footage, epoch = Shots(each_redis), _epoch(each_redis)
    assert footage.send("cam", epoch, [shot(20)]) == -1
    footage.request({"cam": _make_request()})
    assert footage.send("cam", epoch - 1, [shot(20)]) == -1
    assert footage.send("cam", epoch, [shot(20)]) == 1
    footage.withdraw(["cam"])
    assert footage.send("cam", epoch, [shot(21)]) == -1
    assert not each_redis.exists(keys.shots("cam"))


def test_what_waits_is_bounded_and_goes_by_itself(redis: Redis) -> None:
    footage, epoch = Shots(redis), _epoch(redis)
    footage.request({"cam": _make_request()})
    shots = [shot(20 + number, image=b"jpeg") for number in range(MAX_WAITING + 5)]
    assert footage.send("cam", epoch, shots) == MAX_WAITING
    assert footage.send("cam", epoch, shots) == 0
    assert 0 < redis.ttl(keys.shot_request("cam")) <= REQUEST_TTL_S
    assert 0 < redis.ttl(keys.shots("cam")) <= SHOTS_TTL_S
    Registry(redis).remove("cam")
    assert not redis.exists(keys.shot_request("cam"), keys.shots("cam"))


def test_what_cannot_be_read_is_no_obstacle(redis: Redis) -> None:
    footage, epoch = Shots(redis), _epoch(redis)
    redis.set(keys.shot_request("cam"), "{}")
    assert footage.read_requests(["cam"]) == {}
    redis.xadd(keys.shots("cam"), {"shot": "nonsense", "jpeg": "", "heat": ""})
    footage.request({"cam": _make_request()})
    footage.send("cam", epoch, [shot(20)])
    assert [_frames(shots) for shots in footage.receive(["cam"], 9).values()] == [[20]]


@pytest.fixture
def reel() -> Reel:
    """Pictures 0 to 39, ten a second."""
    made = Reel(before_s=60.0, fps=10.0)
    for frame in range(40):
        made.add(ReelPicture(frame, 1000.0 + frame / 10, b"jpeg", frame / 100))
    return made


def test_a_worker_sends_what_is_new_and_the_peak_when_it_rises(redis: Redis, reel: Reel) -> None:
    footage = Shots(redis)
    sender = ShotSender(footage, lambda: {"cam": OwnedReel(reel, epoch)})
    epoch = _epoch(redis)

    def received() -> list[tuple[int, bool]]:
        sender.tick()
        shots = footage.receive(["cam"], 100).get("cam", [])
        return [(each.meta.frame, each.meta.peak) for each in shots]

    assert received() == []
    footage.request({"cam": _make_request()})
    assert received() == [(39, True), *((frame, False) for frame in range(10, 40))]
    assert received() == [], "what the front end hasn't confirmed yet isn't sent again"
    reel.add(ReelPicture(40, 1004.0, b"jpeg", 0.1))
    reel.add(ReelPicture(41, 1004.1, b"jpeg", 0.9))
    footage.request({"cam": _make_request(after_frame=40, peak_above=0.39)})
    assert received() == [(41, True), (41, False)]
    reel.add(ReelPicture(42, 1004.2, b"jpeg", 0.95))
    footage.request({"cam": _make_request(after_frame=41, clip=False)})
    assert received() == [], "one peak a second"
    assert received() == [(42, True)]


def test_a_worker_that_finds_no_room_goes_on_where_it_was(redis: Redis, reel: Reel) -> None:
    footage = Shots(redis)
    epoch = _epoch(redis)
    sender = ShotSender(footage, lambda: {"cam": OwnedReel(reel, epoch)})
    footage.request({"cam": _make_request()})
    footage.send("cam", epoch, [shot(1, image=b"") for _ in range(MAX_WAITING - 10)])
    sender.tick()
    sender.tick()
    first = _frames(footage.receive(["cam"], 200)["cam"])[MAX_WAITING - 10 :]
    sender.tick()
    rest = _frames(footage.receive(["cam"], 200)["cam"])
    assert first[1:] + rest == list(range(10, 40))


def test_a_camera_that_was_taken_over_is_filmed_by_its_new_owner(redis: Redis, reel: Reel) -> None:
    footage = Shots(redis)
    old = _epoch(redis)
    footage.request({"cam": _make_request(after_frame=30)})
    Leases(redis, "worker", 60.0).release("cam", old)
    new = Leases(redis, "other", 60.0).acquire("cam")
    assert new is not None
    ShotSender(footage, lambda: {"cam": OwnedReel(reel, old)}).tick()
    assert footage.receive(["cam"], 100) == {}
    ShotSender(footage, lambda: {"cam": OwnedReel(reel, new)}).tick()
    assert _frames(footage.receive(["cam"], 100)["cam"])[1:] == list(range(31, 40))
