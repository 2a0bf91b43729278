"""The lasting connection of one webhook: connected again whenever it is lost, and kept in order."""

from __future__ import annotations

import random
import threading
import time
from enum import StrEnum

import structlog

from service.alert.attempts import Undelivered
from service.alert.mqtt.session import Dialling, Publication, Refused, Session
from service.alert.mqtt.targets import Target
from service.alert.mqtt.tidying import Tidier
from service.alert.mqtt.topics import OFFLINE, ONLINE, Topics
from service.alert.mqtt.view import View
from service.alert.mqtt.wanted import Wanted
from service.rounds import AWAY

log = structlog.stdlib.get_logger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
REFUSED_PAUSE_S = 60.0
"""After a wrong password."""
FORBIDDEN_PAUSE_S = 30.0
"""Until what the broker doesn't let us publish is tried again."""
STEADY_S = 10.0
"""A connection that lasted this long is followed by another one at once."""
LOOK_S = 0.2
FAREWELL_S = 60.0
"""How long a webhook that is gone tries to reach its broker, to clear its topics."""


class Ending(StrEnum):
    """How a link ends."""

    OFFLINE = "offline"
    """It says so, and leaves everything as it is: the front end stops, or another link goes on."""
    CLEARED = "cleared"
    """The webhook is gone: nothing of it stays."""


class Link:
    """Connects in a thread of its own, from its making to its end."""

    def __init__(
        self, topics: Topics, target: Target, dialling: Dialling, timeout_s: float
    ) -> None:
        self.topics = topics
        self.target = target
        self._dialling = dialling
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._session: Session | None = None
        self._view = View(topics)
        self._wanted: Wanted | None = None
        self._told: set[str] = set()
        self._ending: Ending | None = None
        self._end_by = float("inf")
        self._attempts = 0
        self._hurry = False
        self._trouble: str | None = None
        self._complaint = ""
        self._thread = threading.Thread(target=self._run, name="mqtt link", daemon=True)
        self._thread.start()

    @property
    def view(self) -> View:
        """What the broker holds."""
        return self._view

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def want(self, wanted: Wanted) -> None:
        """What the broker should hold from now on."""
        with self._changed:
            self._wanted = wanted
            self._told |= wanted.streams.keys()
            self._changed.notify_all()

    def session(self, deadline: float) -> Session:
        """The connection; where there is none, it is tried at once.

        Raises: Undelivered: it isn't there, and why.
        """
        with self._changed:
            before = self._attempts
            self._hurry = True
            self._changed.notify_all()
            while self._session is None or not self._session.is_up:
                if self._ending is not None:
                    raise Undelivered("the webhook was changed or switched off meanwhile")
                if self._attempts > before:
                    raise Undelivered(self._trouble or "the connection to the broker is gone")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Undelivered("the broker didn't answer in time")
                self._changed.wait(left)
            return self._session

    def end(self, how: Ending) -> None:
        """Begin to end it; the first word counts."""
        with self._changed:
            if self._ending is None:
                self._ending = how
                self._end_by = time.monotonic() + FAREWELL_S
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait for its end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._is_over():
            began = time.monotonic()
            try:
                self._connect_and_serve()
                if time.monotonic() - began > STEADY_S:
                    pause_s = FIRST_PAUSE_S
                else:
                    # The broker lets us in and throws us out.
                    self._pause(pause_s)
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            except Undelivered as error:
                self._tell_trouble(str(error))
                longest = REFUSED_PAUSE_S if isinstance(error, Refused) else LONGEST_PAUSE_S
                self._pause(min(pause_s, longest))
                pause_s = min(2 * pause_s, longest)
            except Exception:
                log.exception("a connection to a broker failed", webhook=self.topics.webhook_id)
                self._tell_trouble("something went wrong here")
                self._pause(LONGEST_PAUSE_S)

    def _is_over(self) -> bool:
        """Whether there is nothing left to do at the broker, when it isn't connected."""
        with self._changed:
            if self._ending is Ending.CLEARED:
                return time.monotonic() > self._end_by
            return self._ending is not None

    def _pause(self, pause_s: float) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._hurry or self._ending is not None, pause_s * random.uniform(0.8, 1.0)
            )
            if self._ending is Ending.CLEARED:
                self._changed.wait(FIRST_PAUSE_S)

    def _connect_and_serve(self) -> None:
        """Raises: Undelivered: there is no connection."""
        self._hurry = False
        view = View(self.topics)
        status = self.topics.status
        session = Session(
            self.target,
            self._dialling,
            self._deadline(),
            will=Publication(status, OFFLINE),
            on_message=lambda topic, payload: self._hear(view, topic, payload),
            on_lost=self._notify,
        )
        try:
            session.publish([Publication(status, ONLINE)], self._deadline())
            self._look_in(session)
            with self._changed:
                self._view, self._session, self._trouble = view, session, None
                self._changed.notify_all()
            log.info("connected to a broker", webhook=self.topics.webhook_id)
            self._serve(session, view)
        finally:
            with self._changed:
                self._session = None
                over = self._ending is not None
            session.close(orderly=over)
        if not over:
            self._tell_trouble(session.trouble)

    def _look_in(self, session: Session) -> None:
        try:
            session.subscribe(self.topics.filters, self._deadline())
        except Undelivered as error:
            if not session.is_up:
                raise
            # Without that everything is published anew at each connection, and it goes on.
            self._complain(str(error))

    def _serve(self, session: Session, view: View) -> None:
        """Keep the broker in order until the connection is lost, or to end."""
        tidier = Tidier(self.topics, view, self._told)
        done: Wanted | None = None
        not_before = 0.0
        while session.is_up:
            with self._changed:
                self._changed.wait(LOOK_S)
                ending, wanted = self._ending, self._wanted
            if ending is not None and (ending is not Ending.CLEARED or view.is_settled):
                self._take_leave(session, tidier, ending)
                return
            if ending is not None or time.monotonic() < not_before:
                continue
            try:
                if not view.is_online:
                    self._publish(session, view, [Publication(self.topics.status, ONLINE)])
                if wanted is not None and wanted is not done and view.is_settled:
                    self._tidy(session, view, tidier, wanted)
                    done = wanted
            except Undelivered as error:
                if session.is_up:
                    self._complain(str(error))
                not_before = time.monotonic() + FORBIDDEN_PAUSE_S

    def _tidy(self, session: Session, view: View, tidier: Tidier, wanted: Wanted) -> None:
        """Raises: Undelivered: some of it was refused; all else is done."""
        refused: Undelivered | None = None
        try:
            for publications in tidier.differences(wanted):
                if self._ending is not None or not session.is_up:
                    return
                try:
                    self._publish(session, view, publications)
                except Undelivered as error:
                    refused = error
        except AWAY as error:
            log.warning("a stream's last event can't be read now", error=type(error).__name__)
        if refused is not None:
            raise refused

    def _publish(self, session: Session, view: View, publications: list[Publication]) -> None:
        taken = [each for each in publications if session.takes(each.payload)]
        mark = view.mark()
        session.publish(taken, self._deadline())
        for each in taken:
            view.suppose(each.topic, each.payload, mark)

    def _take_leave(self, session: Session, tidier: Tidier, ending: Ending) -> None:
        try:
            # What comes while a connection is closed resets it, and the broker tells our last will.
            session.unsubscribe(self.topics.filters, self._deadline())
            if ending is Ending.CLEARED:
                last_words = tidier.everything()
            else:
                last_words = [Publication(self.topics.status, OFFLINE)]
            session.publish(last_words, self._deadline(), last=True)
        except Undelivered as error:
            if not session.is_up:
                return
            self._complain(str(error))
        self._end_by = 0.0

    def _hear(self, view: View, topic: str, payload: bytes) -> None:
        view.hear(topic, payload)
        if topic == self.topics.status:
            self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _tell_trouble(self, trouble: str) -> None:
        """Logged once for an outage, however often it is tried again."""
        with self._changed:
            first = self._trouble is None
            self._trouble = trouble
            self._attempts += 1
            self._changed.notify_all()
        if first:
            log.warning("no connection to a broker", webhook=self.topics.webhook_id, error=trouble)

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            self._complaint = text
            log.warning("a broker refused", webhook=self.topics.webhook_id, error=text)

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout_s
