"""Sends what waits in the outbox: one message at a time to a receiver, many receivers at a time."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import structlog

from service.alert import claims
from service.alert.attempts import Attempt, Senders, attempt
from service.alert.claims import Claim
from service.alert.webhook.posting import parse_retry_after_s
from service.metrics import Metrics
from service.rounds import run_rounds
from service.settings import Settings
from service.store.database import Database
from service.timers import Timer, spread

log = structlog.stdlib.get_logger(__name__)

POLL_S = 0.25
CLEAR_EVERY_S = 60.0
PARALLEL = 16
"""Receivers that are served at the same time."""
HOLD_MARGIN_S = 15.0
"""A claim outlives the request by this much, for the look-up of the host's name and the commit."""
SLOW_S = 2.0
"""A receiver that took longer for one message lets others go first before its next."""
GONE = 410
ASK_TO_WAIT = (429, 503)


class Deliverer:
    """The part of a front end that notifies receivers. Several front ends may have one each."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        metrics: Metrics,
        senders: Senders,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._max_attempts = settings.receiver_max_attempts
        self._hold_s = settings.receiver_timeout_s + HOLD_MARGIN_S
        self._metrics = metrics
        self._clock = clock
        self._senders = senders
        self._busy: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._clear_timer = Timer(CLEAR_EVERY_S, clock)

    def run(self, stop: threading.Event) -> None:
        """Deliver until stopped; wait for requests that are under way."""
        self._stop = stop
        with ThreadPoolExecutor(PARALLEL, "deliver") as pool:

            def dispatch_and_clear() -> bool:
                self._dispatch(pool)
                return self._clear()

            run_rounds(
                dispatch_and_clear,
                stop,
                name="delivering messages",
                every_s=POLL_S,
                on_failure=self._metrics.deliveries.labels("error").inc,
            )

    def step(self) -> int:
        """Send all that is due now, and wait for it. Returns: how many requests were made."""
        with ThreadPoolExecutor(PARALLEL, "deliver") as pool:
            served = self._dispatch(pool)
            wait(served)
        self._clear()
        return sum(future.result() for future in served)

    def _dispatch(self, pool: ThreadPoolExecutor) -> list[Future[int]]:
        with self._database.read() as session:
            due = claims.find_due_receivers(session, self._clock())
        with self._lock:
            # No more than the pool has threads for: none must queue behind another while another
            # front end could send its messages.
            free = [receiver_id for receiver_id in due if receiver_id not in self._busy]
            # In random order, so that slow ones, however many, can't occupy all threads for ever.
            random.shuffle(free)
            chosen = free[: PARALLEL - len(self._busy)]
            self._busy.update(chosen)
        return [pool.submit(self._serve, receiver_id) for receiver_id in chosen]

    def _serve(self, receiver_id: str) -> int:
        """Send one receiver's messages until none is due; runs in a thread of the pool."""
        attempts = 0
        try:
            while not self._stop.is_set():
                now = self._clock()
                with self._database.write() as session:
                    claimed = claims.claim(
                        session,
                        receiver_id,
                        now=now,
                        hold_s=self._hold_s,
                        max_attempts=self._max_attempts,
                    )
                if claimed is None:
                    break
                attempts += 1
                result = attempt(claimed.message, self._senders, self._clock)
                self._settle(claimed, result)
                if result.took_s > SLOW_S:
                    break
        except Exception:
            # The claim runs out by itself, and then the message is sent again.
            self._metrics.deliveries.labels("error").inc()
            log.exception("serving a receiver failed", receiver=receiver_id)
        finally:
            with self._lock:
                self._busy.discard(receiver_id)
        return attempts

    def _settle(self, claimed: Claim, result: Attempt) -> None:
        if result.error is None:
            with self._database.write() as session:
                claims.settle_delivery(session, claimed, result, now=self._clock())
            self._count("delivered", claimed)
        elif result.status == GONE:
            self._settle_gone(claimed, result, result.error)
        else:
            self._settle_failure(claimed, result, result.error)

    def _settle_gone(self, claimed: Claim, result: Attempt, error: str) -> None:
        reason = "the receiver answered 410 Gone"
        with self._database.write() as session:
            if claims.disable_receiver(session, claimed, reason):
                claims.settle_dead(session, claimed, result)
                claims.give_up_all(session, claimed.receiver_id, reason)
            else:
                claims.settle_retry(session, claimed, result, at=self._clock())
        self._count("gone", claimed, error)

    def _settle_failure(self, claimed: Claim, result: Attempt, error: str) -> None:
        now = self._clock()
        asks_to_wait = result.status in ASK_TO_WAIT
        asked_s = parse_retry_after_s(result.retry_after, now) if asks_to_wait else 0.0
        dead = claimed.recent_attempts >= self._max_attempts
        with self._database.write() as session:
            if asked_s:
                claims.hold_receiver(session, claimed, now + asked_s)
            if dead:
                claims.settle_dead(session, claimed, result)
            else:
                at = now + choose_delay_s(claimed.recent_attempts, asked_s)
                claims.settle_retry(session, claimed, result, at=at)
        self._count("dead" if dead else "failed", claimed, error)

    def _count(self, outcome: str, claimed: Claim, error: str = "") -> None:
        self._metrics.deliveries.labels(outcome).inc()
        if error:
            log.warning(
                "a message was not delivered",
                receiver=claimed.receiver_id,
                message=claimed.message.id,
                outcome=outcome,
                attempts=claimed.attempts,
                error=error,
            )

    def _clear(self) -> bool:
        """Clear old messages once a minute. Returns: whether there is more to clear."""
        if not self._clear_timer.is_due:
            return False
        with self._database.write() as session:
            more = claims.clear(session, self._clock()) >= claims.CLEAR_ROWS
        with self._database.read() as session:
            for state, number in claims.count(session).items():
                self._metrics.messages.labels(state.value).set(number)
        if not more:
            self._clear_timer.restart()
        return more


DELAYS_S = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0)
JITTER = 0.2
"""Up to this share is added, so that messages that failed together don't come back together."""


def choose_delay_s(attempts: int, asked_s: float = 0.0) -> float:
    """Return the seconds from the last attempt to the next.

    Args:
        attempts: made so far, from 1.
        asked_s: what the receiver asked for; it is not called sooner.
    """
    planned = DELAYS_S[min(attempts, len(DELAYS_S)) - 1]
    return spread(max(planned, asked_s), 1.0, 1.0 + JITTER)
