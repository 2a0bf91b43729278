"""Checks the health of the container that it runs in: `health.py api`, `worker` or `learner`.

The front end must answer that it is ready; the others must have reported to Redis recently.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import urllib.request

from redis.exceptions import RedisError

from service.bus.connection import connect
from service.bus.learnings import Learnings
from service.bus.registry import Registry


def find_api_problem() -> str | None:
    """Return why the front end isn't ready, or None."""
    port = os.environ.get("NORMWATCH_PORT", "8000")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=8):
            return None
    except OSError as error:
        return f"the front end is not ready: {error}"


def find_worker_problem(host_name: str) -> str | None:
    """Return why the worker of this host doesn't count as alive, or None."""
    url = os.environ.get("NORMWATCH_REDIS_URL") or os.environ.get("REDIS_URL") or ""
    own = os.environ.get("NORMWATCH_WORKER_ID")
    client = connect(url)
    try:
        alive = [worker.id for worker in Registry(client).workers(time.time())]
    except RedisError as error:
        return f"Redis does not answer: {error}"
    finally:
        client.close()
    if own in alive or any(name.startswith(host_name) for name in alive):
        return None
    return f"no worker of {own or host_name} has reported recently"


def find_learner_problem(host_name: str) -> str | None:
    """Return why the learner of this host doesn't count as alive, or None."""
    client = connect(os.environ.get("NORMWATCH_REDIS_URL") or os.environ.get("REDIS_URL") or "")
    try:
        alive = Learnings(client).list_learners(time.time())
    except RedisError as error:
        return f"Redis does not answer: {error}"
    finally:
        client.close()
    if any(name.startswith(host_name) for name in alive):
        return None
    return f"no learner of {host_name} has reported recently"


def main() -> int:
    """Return the exit status for Docker: 0 if the container is healthy, else 1."""
    part, host_name = "".join(sys.argv[1:]), socket.gethostname()
    if part == "worker":
        problem = find_worker_problem(host_name)
    elif part == "learner":
        problem = find_learner_problem(host_name)
    else:
        problem = find_api_problem()
    if problem is not None:
        print(problem)
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main())
