"""Learnings in Redis: the front end publishes jobs, a learner takes one and reports on it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import cast

import structlog
from pydantic import ValidationError
from redis import Redis

from service import keys
from service.learning_messages import LearningJob, LearningStatus

log = structlog.stdlib.get_logger(__name__)

LEARNER_LEASE_S = 15
"""A learner that didn't renew its lease for so long has lost its learning."""
FORGET_S = 86_400.0


class Learnings:
    """Jobs and statuses of learnings."""

    def __init__(self, redis: Redis, lease_s: float = LEARNER_LEASE_S) -> None:
        """Args: lease_s: how long a claim holds."""
        self._redis = redis
        self._lease_ms = round(1000 * lease_s)
        self._claim = redis.register_script(_CLAIM)
        self._unreadable: set[bytes] = set()

    def synchronise(self, jobs: Sequence[LearningJob]) -> None:
        """Make the jobs in Redis these; statuses of others are deleted with them."""
        gone = self.list_ids() - {job.id for job in jobs}
        pipeline = self._redis.pipeline(transaction=False)
        for job in jobs:
            pipeline.hset(keys.LEARNINGS, job.id, job.model_dump_json())
        if gone:
            pipeline.hdel(keys.LEARNINGS, *gone)
            pipeline.hdel(keys.LEARNING_STATUSES, *gone)
        pipeline.execute()

    def jobs(self) -> list[LearningJob]:
        """Return all jobs that can be read, the oldest first.

        One of a front end of another version must not keep back the others; it is logged once.
        """
        fields = cast(dict[bytes, bytes], self._redis.hgetall(keys.LEARNINGS))
        jobs: list[LearningJob] = []
        for ident, text in fields.items():
            try:
                jobs.append(LearningJob.model_validate_json(text))
            except ValidationError as error:
                if ident not in self._unreadable:
                    self._unreadable.add(ident)
                    wrong = [".".join(map(str, each["loc"])) for each in error.errors()]
                    log.warning("a learning can't be read", learning=ident.decode(), fields=wrong)
        return sorted(jobs, key=lambda job: (job.created_at, job.id))

    def list_ids(self) -> set[str]:
        """List the ids of all jobs, unreadable ones included."""
        return {ident.decode() for ident in cast(list[bytes], self._redis.hkeys(keys.LEARNINGS))}

    def claim(self, learning_id: str, learner: str) -> bool:
        """Take a learning, or go on having it. Returns whether it is this learner's."""
        return bool(self._claim([keys.learner(learning_id)], [learner, self._lease_ms]))

    def release(self, learning_id: str, learner: str) -> None:
        """Let another learner have it."""
        if self.claim(learning_id, learner):
            self._redis.delete(keys.learner(learning_id))

    def beat(self, learner: str, now: float) -> None:
        """Say that a learner runs. Args: now: seconds since 1970."""
        self._redis.hset(keys.LEARNERS, learner, repr(now))

    def leave(self, learner: str) -> None:
        """Say that a learner ends."""
        self._redis.hdel(keys.LEARNERS, learner)

    def list_learners(self, now: float) -> list[str]:
        """List the learners that run; forgets those that haven't been seen for a day."""
        seen = cast(dict[bytes, bytes], self._redis.hgetall(keys.LEARNERS))
        ages = {ident.decode(): now - float(at) for ident, at in seen.items()}
        if lost := [ident for ident, age_s in ages.items() if age_s > FORGET_S]:
            self._redis.hdel(keys.LEARNERS, *lost)
        return sorted(ident for ident, age_s in ages.items() if age_s < LEARNER_LEASE_S)

    def report(self, status: LearningStatus) -> None:
        """Write how a learning is doing."""
        self._redis.hset(keys.LEARNING_STATUSES, status.id, status.model_dump_json())

    def statuses(self) -> dict[str, LearningStatus]:
        """Return the newest status of each learning that has one, without unreadable ones."""
        fields = cast(dict[bytes, bytes], self._redis.hgetall(keys.LEARNING_STATUSES))
        found: dict[str, LearningStatus] = {}
        for ident, text in fields.items():
            # A learner of another version must not keep back the others.
            with suppress(ValidationError):
                found[ident.decode()] = LearningStatus.model_validate_json(text)
        return found


_CLAIM = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
