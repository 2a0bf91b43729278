"""Runs a real worker on a real Redis for the benchmark; its cameras' frames are in memory."""

from __future__ import annotations

import sys
import threading

import psutil

from service import logs
from service.bus.connection import connect
from service.errors import BadInput
from service.infer.worker import Worker
from service.infer.worker_main import prepare
from service.settings import Settings
from service.tools.bench.children import WorkerCounters, WorkerJob
from service.tools.bench.in_memory_cameras import Feed

SCORING, FEED = "scoring", "feed"


def main() -> None:
    """Read the job from the first line, then answer each line with the counters."""
    logs.configure("WARNING")
    settings = Settings()
    if settings.redis_url is None:
        raise BadInput("REDIS_URL", None, "must be set")
    job = WorkerJob.model_validate_json(sys.stdin.readline())
    device = prepare(settings)
    feed = Feed(settings, job.fps, job.cameras)
    redis = connect(settings.redis_url)
    worker = Worker(settings, redis, device=device, open_source=feed.open)
    stop = threading.Event()
    scoring = threading.Thread(target=worker.run, args=(stop,), name=SCORING)
    scoring.start()
    for _ in sys.stdin:
        print(read_counters(worker, feed).model_dump_json(), flush=True)
    stop.set()
    scoring.join()
    redis.close()


def read_counters(worker: Worker, feed: Feed) -> WorkerCounters:
    """Read the processor time that the process has used so far."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    spent: dict[str, float] = {}
    for thread in psutil.Process().threads():
        name = names.get(thread.id, "")
        spent[name] = spent.get(name, 0.0) + thread.user_time + thread.system_time
    return WorkerCounters(
        engine=feed.engine,
        scoring_thread_s=spent.get(SCORING, 0.0),
        stages=worker.cpu_s(),
        feed_s=spent.get(FEED, 0.0),
    )


if __name__ == "__main__":
    main()
