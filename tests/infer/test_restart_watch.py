"""A restart of Redis is noticed by the id that a server has from its start to its end."""

from __future__ import annotations

from typing import cast

from redis import Redis

from service.infer.restart_watch import RESTART_GRACE_S, RestartWatch


class FakeServer:
    """Answers with an id that the test sets."""

    run_id = "first"

    def info(self, section: str) -> dict[str, str]:
        """Return the id, as Redis does in this section."""
        assert section == "server"
        return {"run_id": self.run_id}


def test_a_restart_is_recent_for_some_seconds() -> None:
    server, now_s = FakeServer(), 100.0
    watch = RestartWatch(cast(Redis, server), lambda: now_s)
    for _ in range(2):
        watch.check()
        assert not watch.is_recent, "the first id is no restart"
    server.run_id = "second"
    watch.check()
    now_s += RESTART_GRACE_S - 0.1
    watch.check()
    assert watch.is_recent
    now_s += 0.2
    assert not watch.is_recent
