"""Run by the benchmark: a real worker on a real Redis, its cameras made of frames in memory."""

from __future__ import annotations

import sys
import threading

import psutil

from service import logs
from service.bench.children import WorkerCounters, WorkerJob
from service.bench.memory import Feed
from service.bus.connection import connect
from service.errors import BadInput
from service.infer.main import prepare
from service.infer.worker import Worker
from service.settings import Settings

SCORING, FEED, SEND = "scoring", "feed", "publisher"
DECODE = ("feeder", "decode")


def main() -> None:
    """The first line is the job; each one after it asks for the counters; with the last it ends."""
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
        print(counters(worker, feed).model_dump_json(), flush=True)
    stop.set()
    scoring.join()
    redis.close()


def counters(worker: Worker, feed: Feed) -> WorkerCounters:
    """Of this process's threads, those that Python doesn't know being the engine's."""
    process = psutil.Process()
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    spent: dict[str, float] = {}
    engine_s = 0.0
    for thread in process.threads():
        used = thread.user_time + thread.system_time
        name = names.get(thread.id)
        if name is None:
            engine_s += used
            continue
        group = name.rstrip("0123456789").rstrip("_-")
        spent[group] = spent.get(group, 0.0) + used
    times = process.cpu_times()
    return WorkerCounters(
        engine=feed.engine,
        # Its pools have names, too, where an engine is Python's own.
        detector_s=worker.inference_cpu_s + engine_s + spent.get("openvino", 0.0),
        scoring_thread_s=spent.get(SCORING, 0.0),
        decode_s=sum(spent.get(name, 0.0) for name in DECODE),
        send_s=spent.get(SEND, 0.0),
        feed_s=spent.get(FEED, 0.0),
        total_s=times.user + times.system,
    )


if __name__ == "__main__":
    main()
