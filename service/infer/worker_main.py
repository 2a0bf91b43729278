"""One worker as a process: signals, threads of torch, exit status."""

from __future__ import annotations

import threading

import cv2
import structlog
import torch

from service.bus.connection import connect
from service.errors import BadInput
from service.infer.device import choose_device, choose_threads
from service.infer.worker import Worker
from service.settings import Settings
from service.signals import stop_on_signals

log = structlog.stdlib.get_logger(__name__)


def run_worker(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status. Logging is the caller's business.

    Raises: BadInput: there is no Redis URL, or the device isn't there.
    """
    if settings.redis_url is None:
        raise BadInput("REDIS_URL", None, "must be set for a worker that runs alone")
    device = prepare(settings)
    redis = connect(settings.redis_url)
    stop = threading.Event()
    with stop_on_signals(stop):
        try:
            Worker(settings, redis, device=device).run(stop)
        except Exception:
            log.exception("the worker failed")
            return 1
    # Its connections end with the process: where Redis hangs, a thread still waits on one.
    return 0


def prepare(settings: Settings) -> str:
    """Give the process the threads that a worker has; returns its device.

    Raises: BadInput: the device isn't there.
    """
    device = choose_device(settings.device)
    torch.set_num_threads(choose_threads(settings.torch_threads))
    # Uploads are decoded by a few threads already.
    cv2.setNumThreads(1)
    return device
