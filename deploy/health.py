"""Whether the container that this runs in is well: `health.py api` or `health.py worker`.

The front end must say that it is ready; a worker must have reported to Redis lately.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import urllib.request

from redis.exceptions import RedisError

from service.bus.connection import connect
from service.bus.registry import Registry


def api_problem() -> str | None:
    """What the front end says against itself, or None."""
    port = os.environ.get("NORMWATCH_PORT", "8000")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=8):
            return None
    except OSError as error:
        return f"the front end is not ready: {error}"


def worker_problem(host_name: str) -> str | None:
    """Why the worker of this host doesn't count as alive, or None."""
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
    return f"no worker of {own or host_name} has reported lately"


def main() -> int:
    """Returns the exit status that Docker wants: 0 is well, 1 is not."""
    problem = worker_problem(socket.gethostname()) if sys.argv[1:] == ["worker"] else api_problem()
    if problem is not None:
        print(problem)
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main())
