"""Learnings on every kind of Redis: one learner has one, until its lease runs out."""

from __future__ import annotations

from redis import Redis

from service import keys
from service.bus.learnings import FORGET_S, Learnings
from service.learning_messages import LearningJob, LearningState, LearningStatus
from tests.support.servers import wait_for


def make_job(ident: str, created_at: float) -> LearningJob:
    return LearningJob(
        id=ident,
        stream_id="cam",
        bundle="cam-1",
        sources=("rtsp://user:secret@camera/one",),
        fps=10.0,
        seconds=60.0,
        preset="tiny",
        created_at=created_at,
    )


def test_a_learning_has_one_learner_until_its_lease_runs_out(each_redis: Redis) -> None:
    learnings = Learnings(each_redis, lease_s=0.5)
    assert learnings.claim("one", "a")
    assert not learnings.claim("one", "b")
    assert learnings.claim("one", "a"), "a claim is renewed"
    wait_for(lambda: learnings.claim("one", "b"), "the lease's end")
    assert not learnings.claim("one", "a")
    learnings.release("one", "a")
    assert not learnings.claim("one", "a"), "only the owner can release it"
    learnings.release("one", "b")
    assert learnings.claim("one", "a")


def test_jobs_are_those_of_the_front_end_and_statuses_go_with_them(each_redis: Redis) -> None:
    learnings = Learnings(each_redis)
    jobs = [make_job("new", 2.0), make_job("old", 1.0)]
    learnings.synchronise(jobs)
    assert [job.id for job in learnings.jobs()] == ["old", "new"]
    for job in jobs:
        status = LearningStatus(id=job.id, state=LearningState.TRAINING, updated_at=3.0)
        learnings.report(status)
    learnings.synchronise(jobs[:1])
    assert learnings.jobs() == jobs[:1]
    assert list(learnings.statuses()) == ["new"]


def test_a_job_of_another_version_does_not_keep_back_the_others(each_redis: Redis) -> None:
    learnings = Learnings(each_redis)
    job = make_job("new", 2.0)
    learnings.synchronise([job])
    each_redis.hset(keys.LEARNINGS, "odd", '{"id": "odd", "preset": 3}')
    assert learnings.jobs() == [job]
    assert learnings.list_ids() == {"new", "odd"}, "what a learner recorded for it stays"
    learnings.synchronise([job])
    assert learnings.list_ids() == {"new"}


def test_learners_are_listed_while_they_beat(each_redis: Redis) -> None:
    learnings = Learnings(each_redis)
    learnings.beat("a", 100.0)
    learnings.beat("b", 110.0)
    assert learnings.list_learners(111.0) == ["a", "b"]
    assert learnings.list_learners(120.0) == ["b"]
    learnings.leave("b")
    assert learnings.list_learners(111.0) == ["a"]
    assert learnings.list_learners(200.0 + FORGET_S) == []
    assert learnings.list_learners(111.0) == [], "it is forgotten"
