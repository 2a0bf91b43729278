"""Leases, uploads, scores, notes and statuses, on both kinds of Redis and on a cluster."""

from __future__ import annotations

import pytest
from redis import Redis

from service import keys
from service.bus.leases import Leases
from service.bus.log_entries import Notes
from service.bus.recorder_lock import RecorderLock
from service.bus.registry import Preview, Registry
from service.bus.scores import ENTRY_SCORES, OutgoingScore, PublishResult, PublishVerdict, Scores
from service.bus.uploads import Picture, QueuedFrame, Uploads
from service.errors import BacklogFull, NotFound
from service.messages import (
    FrameScore,
    NoteKind,
    StreamConfig,
    StreamNote,
    StreamState,
    StreamStatus,
    WorkerStatus,
)


def _config(stream_id: str = "cam") -> StreamConfig:
    return StreamConfig(id=stream_id, revision=1, source="upload", model="small")


def _score(frame: int, epoch: int) -> FrameScore:
    return FrameScore(frame=frame, epoch=epoch, captured_at=1.0, scored_at=2.0, score=0.25)


def _enqueue(uploads: Uploads, *images: bytes, first: int = 0, **limits: int) -> range:
    pictures = [Picture(100.0 + i, image) for i, image in enumerate(images)]
    limits = {"max_frames": 10, "max_bytes": 1000} | limits
    return uploads.enqueue("cam", pictures, first_frame=first, **limits)


def _read(uploads: Uploads, after: str, count: int) -> list[QueuedFrame]:
    return uploads.wait({"cam": after}, count, block_ms=1).get("cam", [])


def test_one_worker_holds_a_lease(each_redis: Redis) -> None:
    first, second = Leases(each_redis, "a", 5.0), Leases(each_redis, "b", 5.0)
    epoch = first.acquire("cam")
    assert epoch is not None
    assert second.acquire("cam") is None
    assert first.renew("cam", epoch)
    assert not second.renew("cam", epoch)
    second.release("cam", epoch)
    assert second.acquire("cam") is None
    first.release("cam", epoch)
    taken = second.acquire("cam")
    assert taken is not None
    assert taken > epoch
    assert not first.renew("cam", epoch)


def test_a_deleted_camera_s_epoch_does_not_stay(each_redis: Redis) -> None:
    registry, leases = Registry(each_redis), Leases(each_redis, "a", 5.0)
    for registered in (True, False):
        if registered:
            registry.publish([StreamConfig(id="cam", revision=1, source="upload", model="m")])
        else:
            registry.remove("cam")
        epoch = leases.acquire("cam")
        assert epoch is not None
        leases.release("cam", epoch)
        assert (each_redis.ttl("nw:{cam}:epoch") == -1) is registered


def test_a_lease_that_ran_out_is_kept_unless_somebody_took_it(each_redis: Redis) -> None:
    first, second = Leases(each_redis, "a", 5.0), Leases(each_redis, "b", 5.0)
    epoch = first.acquire("cam")
    assert epoch is not None
    each_redis.delete("nw:{cam}:lease")
    assert first.renew("cam", epoch)
    each_redis.delete("nw:{cam}:lease")
    assert second.acquire("cam") is not None
    assert not first.renew("cam", epoch)


def test_epochs_go_on_rising_without_the_servers_data(each_redis: Redis) -> None:
    leases = Leases(each_redis, "a", 5.0)
    before = leases.acquire("cam")
    each_redis.flushall()
    after = leases.acquire("cam")
    assert before is not None
    assert after is not None
    assert after >= before


def test_scores_are_fenced_numbered_and_acknowledged(each_redis: Redis) -> None:
    leases, scores = Leases(each_redis, "a", 5.0), Scores(each_redis, 100)
    epoch = leases.acquire("cam")
    assert epoch is not None
    sent = [OutgoingScore("cam", _score(0, epoch)), OutgoingScore("cam", _score(1, epoch))]
    assert scores.publish(sent) == [PublishResult(PublishVerdict.PUBLISHED)] * 2
    assert scores.publish(sent)[0].verdict is PublishVerdict.DUPLICATE
    stale = OutgoingScore("cam", _score(2, epoch - 1))
    assert scores.publish([stale])[0].verdict is PublishVerdict.STALE_OWNER
    assert int(each_redis.get(keys.last_frame("cam")) or 0) == 1
    found = scores.read(["cam", "other"], 10)
    assert [row.score.frame for row in found["cam"]] == [0, 1]
    assert "other" not in found
    scores.acknowledge({"cam": [row.entry for row in found["cam"]]})
    assert scores.read(["cam"], 10) == {}
    assert scores.publish(sent)[1].verdict is PublishVerdict.DUPLICATE


def test_a_score_backlog_is_bounded_and_says_what_it_lost(each_redis: Redis) -> None:
    epoch = Leases(each_redis, "a", 5.0).acquire("cam")
    assert epoch is not None
    scores = Scores(each_redis, 3)
    answers = scores.publish([OutgoingScore("cam", _score(i, epoch)) for i in range(5)])
    assert [answer.evicted for answer in answers] == [0, 0, 0, 0, 2]
    assert [row.score.frame for row in scores.read(["cam"], 10)["cam"]] == [2, 3, 4]


def test_what_is_published_together_is_one_entry_without_what_was_there(each_redis: Redis) -> None:
    epoch = Leases(each_redis, "a", 5.0).acquire("cam")
    assert epoch is not None
    scores = Scores(each_redis, 100)
    scores.publish([OutgoingScore("cam", _score(i, epoch)) for i in range(3)])
    answers = scores.publish([OutgoingScore("cam", _score(i, epoch)) for i in (1, 2, 3, 3, 4)])
    duplicate, published = PublishVerdict.DUPLICATE, PublishVerdict.PUBLISHED
    verdicts = [answer.verdict for answer in answers]
    assert verdicts == [duplicate, duplicate, published, duplicate, published]
    found = scores.read(["cam"], 10)["cam"]
    assert [row.score.frame for row in found] == [0, 1, 2, 3, 4]
    assert [row.entry for row in found] == [found[0].entry] * 3 + [found[3].entry] * 2
    assert scores.count_waiting(["cam"]) == 5
    assert [row.score.frame for row in scores.read(["cam"], 2)["cam"]] == [0, 1, 2]
    scores.acknowledge({"cam": [row.entry for row in found[:3]]})
    assert scores.count_waiting(["cam"]) == 2


def test_a_batch_is_split_where_an_entry_is_full(each_redis: Redis) -> None:
    epoch = Leases(each_redis, "a", 5.0).acquire("cam")
    assert epoch is not None
    scores = Scores(each_redis, 100)
    count = 2 * ENTRY_SCORES + 1
    scores.publish([OutgoingScore("cam", _score(i, epoch)) for i in range(count)])
    assert each_redis.xlen(keys.scores("cam")) == 3
    found = scores.read(["cam"], 100)["cam"]
    assert [row.score.frame for row in found] == list(range(count))


def test_the_bound_on_a_backlog_counts_scores_and_not_entries(each_redis: Redis) -> None:
    epoch = Leases(each_redis, "a", 5.0).acquire("cam")
    assert epoch is not None
    scores = Scores(each_redis, 5)

    def publish(*frames: int) -> int:
        answers = scores.publish([OutgoingScore("cam", _score(frame, epoch)) for frame in frames])
        return sum(answer.evicted for answer in answers)

    assert [publish(0, 1, 2), publish(3), publish(4)] == [0, 0, 0]
    read = scores.read(["cam"], 10)["cam"]
    assert publish(5, 6) == 3, "the oldest entry goes as a whole"
    assert scores.count_waiting(["cam"]) == 4
    # Three of these had been pushed out when they were stored.
    scores.acknowledge({"cam": [row.entry for row in read]})
    assert [row.score.frame for row in scores.read(["cam"], 10)["cam"]] == [5, 6]
    assert scores.count_waiting(["cam"]) == 2
    assert publish(*range(7, 20)) == 2 + 8, "with what never fitted"
    assert scores.count_waiting(["cam"]) == 5


def test_cameras_of_a_batch_are_fenced_one_by_one(each_redis: Redis) -> None:
    Registry(each_redis).publish([_config()])
    leases, uploads, scores = (
        Leases(each_redis, "a", 5.0),
        Uploads(each_redis),
        Scores(each_redis, 9),
    )
    _enqueue(uploads, b"one", b"two", b"three")
    queued = _read(uploads, "0-0", 9)
    epochs = {name: leases.acquire(name) or 0 for name in ("cam", "other")}
    stale = [OutgoingScore("cam", _score(i, epochs["cam"] - 1), queued[i]) for i in range(2)]
    other = [OutgoingScore("other", _score(i, epochs["other"])) for i in range(2)]
    answers = scores.publish([stale[0], other[0], stale[1], other[1]])
    refused, published = PublishVerdict.STALE_OWNER, PublishVerdict.PUBLISHED
    assert [each.verdict for each in answers] == [refused, published, refused, published]
    assert scores.count_waiting(["cam", "other"]) == 2
    assert each_redis.xlen(keys.uploads("cam")) == 3
    scores.publish([OutgoingScore("cam", _score(i, epochs["cam"]), queued[i]) for i in range(2)])
    assert [row.image for row in _read(uploads, "0-0", 9)] == [b"three"]
    assert int(each_redis.get(keys.upload_bytes("cam")) or 0) == len(b"three")


def test_uploads_wait_until_their_score_is_published(each_redis: Redis) -> None:
    Registry(each_redis).publish([_config()])
    uploads, scores = Uploads(each_redis), Scores(each_redis, 100)
    assert list(_enqueue(uploads, b"one", b"two")) == [0, 1]
    assert list(_enqueue(uploads, b"three")) == [2]
    epoch = Leases(each_redis, "a", 5.0).acquire("cam")
    assert epoch is not None
    first, second = _read(uploads, "0-0", 2)
    assert (first.meta.frame, first.meta.captured_at, first.image) == (0, 100.0, b"one")
    assert [row.meta.frame for row in _read(uploads, second.entry, 9)] == [2]
    scores.publish([OutgoingScore("cam", _score(0, epoch), first)])
    uploads.discard("cam", second)
    uploads.discard("cam", second)
    assert [row.meta.frame for row in _read(uploads, "0-0", 9)] == [2]
    assert int(each_redis.get("nw:{cam}:upload_bytes") or 0) == len(b"three")


def test_uploads_are_all_taken_or_all_refused(each_redis: Redis) -> None:
    Registry(each_redis).publish([_config()])
    uploads = Uploads(each_redis)
    _enqueue(uploads, b"x", b"y", max_frames=3)
    with pytest.raises(BacklogFull):
        _enqueue(uploads, b"x", b"y", max_frames=3)
    with pytest.raises(BacklogFull):
        _enqueue(uploads, b"x" * 999, max_bytes=1000)
    assert each_redis.xlen(keys.uploads("cam")) == 2
    assert list(_enqueue(uploads, b"z", max_frames=3)) == [2]


def test_upload_numbers_never_go_back_behind_what_is_recorded(each_redis: Redis) -> None:
    Registry(each_redis).publish([_config()])
    assert list(_enqueue(Uploads(each_redis), b"x", first=41)) == [41]
    assert list(_enqueue(Uploads(each_redis), b"x", first=7)) == [42]


def test_an_upload_to_a_removed_stream_is_refused(each_redis: Redis) -> None:
    registry, uploads = Registry(each_redis), Uploads(each_redis)
    registry.publish([_config()])
    _enqueue(uploads, b"x")
    registry.remove("cam")
    with pytest.raises(NotFound):
        _enqueue(uploads, b"x")
    assert each_redis.exists(*keys.list_stream_keys("cam")) == 0
    assert registry.streams() == {}


def test_what_workers_tell_is_read_back(each_redis: Redis) -> None:
    registry = Registry(each_redis)
    status = StreamStatus(state=StreamState.LIVE, since=1.0, captured=3)
    worker = WorkerStatus(id="w", started_at=1.0, seen_at=100.0, streams=1, device="cpu")
    registry.report({"cam": status}, worker)
    assert registry.statuses(["cam", "other"]) == {"cam": status}
    assert registry.workers(now=101.0) == [worker]
    assert registry.workers(now=1000.0) == []
    assert registry.workers(now=101.0) == []
    preview = Preview(b"jpeg", b"", 7, 12.5)
    registry.put_preview("cam", preview)
    assert registry.preview("cam") == preview
    assert registry.preview("other") is None


def test_a_snapshot_is_fenced(each_redis: Redis) -> None:
    registry = Registry(each_redis)
    epoch = Leases(each_redis, "a", 5.0).acquire("cam")
    assert epoch is not None
    assert registry.save_snapshot("cam", epoch, b"state")
    assert not registry.save_snapshot("cam", epoch - 1, b"old")
    assert each_redis.get(keys.snapshot("cam")) == b"state"


def test_one_front_end_records(each_redis: Redis) -> None:
    first, second = RecorderLock(each_redis, "a"), RecorderLock(each_redis, "b")
    assert first.hold()
    assert first.hold()
    assert not second.hold()
    second.release()
    assert not second.hold()
    first.release()
    assert second.hold()


def test_uploads_of_many_cameras_are_waited_for_at_once(each_redis: Redis) -> None:
    names = [f"cam{number}" for number in range(6)]
    Registry(each_redis).publish([_config(name) for name in names])
    uploads = Uploads(each_redis)
    assert uploads.wait(dict.fromkeys(names, "0-0"), 5, block_ms=30) == {}
    for name in names[:2]:
        pictures = [Picture(1.0, b"a"), Picture(2.0, b"b")]
        uploads.enqueue(name, pictures, first_frame=0, max_frames=9, max_bytes=99)
    found = uploads.wait(dict.fromkeys(names, "0-0"), 5, block_ms=5000)
    assert {name: [row.image for row in rows] for name, rows in found.items()} == {
        name: [b"a", b"b"] for name in names[:2]
    }
    later = {name: rows[-1].entry for name, rows in found.items()}
    assert uploads.wait(later, 5, block_ms=30) == {}


def test_a_batch_of_many_cameras_is_published_read_and_acknowledged(each_redis: Redis) -> None:
    names = [f"cam{number}" for number in range(6)]
    leases, scores = Leases(each_redis, "a", 5.0), Scores(each_redis, 100)
    epochs = {name: leases.acquire(name) or 0 for name in names}
    batch = [OutgoingScore(name, _score(3, epoch)) for name, epoch in epochs.items()]
    assert scores.publish(batch) == [PublishResult(PublishVerdict.PUBLISHED)] * 6
    assert scores.count_waiting(names) == 6
    found = scores.read(names, 10)
    assert list(found) == names
    scores.acknowledge({name: [row.entry for row in rows] for name, rows in found.items()})
    assert scores.count_waiting(names) == 0


def test_streams_of_the_database_replace_those_in_redis(each_redis: Redis) -> None:
    registry = Registry(each_redis)
    registry.publish([_config("gone"), _config("kept")])
    registry.synchronise(lambda: [_config("kept"), _config("new")])
    assert set(registry.streams()) == {"kept", "new"}
    known = [int(each_redis.exists(keys.registration(name))) for name in ("gone", "kept", "new")]
    assert known == [0, 1, 1]


def test_notes_are_fenced_bounded_and_acknowledged(
    each_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.bus.log_entries.MAX_WAITING", 2)
    leases, notes = Leases(each_redis, "a", 5.0), Notes(each_redis)
    for name in ("a", "b"):
        epoch = leases.acquire(name) or 0
        for at in range(3):
            note = StreamNote(
                kind=NoteKind.STATE, at=float(at), state=StreamState.DOWN, epoch=epoch
            )
            assert notes.publish(name, note)
        assert not notes.publish(name, note.model_copy(update={"epoch": epoch - 1}))
    each_redis.xadd(keys.notes("a"), {"note": "{"})
    found = notes.read(["a", "b", "c"], 9)
    assert {name: [each.note.at for each in rows] for name, rows in found.items()} == {
        "a": [1.0, 2.0],
        "b": [1.0, 2.0],
    }
    notes.acknowledge({name: [each.entry for each in rows] for name, rows in found.items()})
    assert notes.read(["a", "b"], 9) == {}
    assert each_redis.xlen(keys.notes("a")) == 0
