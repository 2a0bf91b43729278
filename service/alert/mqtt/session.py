"""One connection to a broker, from its address's check to its end. It never connects again: whoever
wants another one opens another one, and its addresses are checked anew.

MQTT 5, because only there a broker says what it doesn't allow.
"""

from __future__ import annotations

import contextlib
import select
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from service.alert.addresses import Resolver, checked_addresses, resolve
from service.alert.attempts import Undelivered
from service.alert.mqtt.targets import Target
from service.errors import AddressRefused

log = structlog.stdlib.get_logger(__name__)

KEEPALIVE_S = 20
LOOP_S = 0.25
IN_FLIGHT = 8
"""Publications that wait for their acknowledgement at the same moment."""
MAX_RECEIVED_BYTES = 65_536
"""Of a packet that the broker may send."""
_HEADER_BYTES = 1024
"""Of a packet beside its payload, at most."""
_FORBIDDEN = (134, 135)
"""Bad user name or password; not authorized."""


class Refused(Undelivered):
    """The broker is there, and doesn't let us in: it won't soon."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What is published at QoS 1."""

    topic: str
    payload: bytes
    retain: bool = True
    message_id: str | None = None
    """Sent beside it, as the user property `webhook-id`."""


@dataclass(frozen=True, slots=True)
class Dialling:
    """How brokers are connected to; the parts can be replaced."""

    allow_private: bool
    resolver: Resolver = resolve
    trusted: str | None = None
    """A file of authorities; None trusts the system's."""


class Session:
    """A connection that is up when it is made. Any thread may use it."""

    def __init__(
        self,
        target: Target,
        dialling: Dialling,
        deadline: float,
        *,
        will: Publication | None = None,
        on_message: Callable[[str, bytes], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        """Connect, by the deadline (monotonic); both callbacks run in the session's thread.

        Raises: Undelivered: there is no connection, and why.
        """
        self._target = target
        self._deadline = deadline
        self._on_message = on_message
        self._on_lost = on_lost
        self._turn = threading.Lock()
        self._changed = threading.Condition()
        self._acknowledged: dict[int, ReasonCode] = {}
        self._accepted = False
        self._lost: str | None = None
        self._refused = False
        self._said_last = False
        self._largest: int | None = None
        self._at_once = IN_FLIGHT
        self._client = self._connect(dialling, will)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()
        try:
            self._wait(lambda: self._accepted, deadline)
        except BaseException:
            self.close(orderly=False)
            raise

    @property
    def is_up(self) -> bool:
        """Whether it still stands."""
        return self._lost is None

    @property
    def trouble(self) -> str:
        """Why it doesn't."""
        return self._lost or "it is up"

    def takes(self, payload: bytes) -> bool:
        """Whether the broker takes payloads of that size."""
        return self._largest is None or len(payload) + _HEADER_BYTES <= self._largest

    def publish(
        self, publications: Sequence[Publication], deadline: float, *, last: bool = False
    ) -> None:
        """In their order; returns when the broker has acknowledged all of them. After the last ones
        nothing can be published any more.

        Raises: Undelivered: it hasn't, and why.
        """
        if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise Undelivered("the broker was busy with other messages")
        try:
            if self._said_last:
                raise Undelivered("the connection to the broker ends")
            self._said_last = last
            for first in range(0, len(publications), self._at_once):
                self._publish(publications[first : first + self._at_once], deadline)
        finally:
            self._turn.release()

    def subscribe(self, filters: Sequence[str], deadline: float) -> None:
        """Hear of all of them: at QoS 0, because brokers queue only so many others.

        Raises: Undelivered: the broker doesn't say that it will.
        """
        with self._turn:
            code, ident = self._client.subscribe([(name, 0) for name in filters])
            reason = self._answer(code, ident, deadline)
        if reason.is_failure:
            raise Undelivered(f"the broker doesn't let us subscribe: {reason}")

    def unsubscribe(self, filters: Sequence[str], deadline: float) -> None:
        """Hear of them no more. Raises: Undelivered: the broker doesn't answer."""
        with self._turn:
            self._answer(*self._client.unsubscribe(list(filters)), deadline)

    def close(self, *, orderly: bool = True) -> None:
        """End it: orderly without its last will."""
        if orderly and self.is_up:
            self._client.disconnect()
        else:
            self._lose("it was closed")
        if threading.current_thread() is not self._thread:
            self._thread.join(2 * LOOP_S)
            self._lose("it was closed")
            self._thread.join(2 * LOOP_S)

    def _connect(self, dialling: Dialling, will: Publication | None) -> Client:
        """The TCP and TLS connection, with what is to be said on it."""
        target = self._target
        try:
            addresses = checked_addresses(
                target.host,
                target.port,
                allow_private=dialling.allow_private,
                resolver=dialling.resolver,
            )
        except (AddressRefused, OSError) as error:
            raise Undelivered(str(error)) from error
        failure: Exception = OSError(f"the host {target.host} has no address")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            client = self._client_for(dialling, will)
            # One that doesn't answer leaves time for the others.
            client.connect_timeout = max(0.1, (self._deadline - time.monotonic()) / left)
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = MAX_RECEIVED_BYTES
            try:
                client.connect(address, target.port, KEEPALIVE_S, properties=properties)
            except (OSError, ValueError) as error:
                failure = error
            else:
                return client
        if isinstance(failure, TimeoutError):
            raise Undelivered("the broker didn't answer in time") from failure
        raise Undelivered(f"the connection failed: {failure}") from failure

    def _client_for(self, dialling: Dialling, will: Publication | None) -> Client:
        target = self._target
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"normwatch{uuid.uuid4().hex[:12]}",
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.max_queued_messages_set(2 * IN_FLIGHT)
        if target.user is not None:
            client.username_pw_set(target.user, target.password)
        if target.tls:
            client.tls_set_context(_tls(target.host, dialling.trusted, self._deadline))
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        client.on_subscribe = client.on_unsubscribe = self._subscribed
        client.on_message = self._heard
        # So that only the session's thread writes, whichever thread publishes.
        client.on_socket_register_write = lambda *_: None
        return client

    def _run(self) -> None:
        """The session's thread: paho reads and writes in it, and nowhere else."""
        try:
            while (
                self._lost is None and self._client.loop(LOOP_S) == MQTTErrorCode.MQTT_ERR_SUCCESS
            ):
                pass
        except Exception as error:
            # What the broker sent can't be read.
            log.warning("a broker was not understood", error=f"{type(error).__name__}: {error}")
            self._lose("the broker doesn't speak MQTT 5")
        self._lose("the broker closed the connection")
        sock = self._client.socket()
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.close()
        self._let_go()
        if self._on_lost is not None:
            self._on_lost()

    def _let_go(self) -> None:
        """End the circle of references, so that what paho still holds goes with the session."""
        client = self._client
        client.on_connect = client.on_disconnect = client.on_publish = None
        client.on_subscribe = client.on_unsubscribe = client.on_message = None

    def _publish(self, batch: Sequence[Publication], deadline: float) -> None:
        idents: dict[int, Publication] = {}
        for publication in batch:
            properties = None
            if publication.message_id is not None:
                properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
                properties.UserProperty = ("webhook-id", publication.message_id)
            info = self._client.publish(
                publication.topic, publication.payload, 1, publication.retain, properties
            )
            self._accept(info.rc)
            idents[info.mid] = publication
        try:
            self._wait(lambda: idents.keys() <= self._acknowledged.keys(), deadline)
        except Undelivered:
            # What it still may say of them is nobody's any more.
            self._lose("the broker didn't acknowledge messages in time")
            raise
        reasons = {ident: self._acknowledged.pop(ident) for ident in idents}
        for ident, reason in reasons.items():
            if reason.is_failure:
                topic = idents[ident].topic
                raise Undelivered(f"the broker refused what goes to {topic}: {reason}")

    def _answer(self, code: MQTTErrorCode, ident: int | None, deadline: float) -> ReasonCode:
        self._accept(code)
        if ident is None:
            raise Undelivered("the connection to the broker is gone")
        self._wait(lambda: ident in self._acknowledged, deadline)
        return self._acknowledged.pop(ident)

    def _accept(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise Undelivered(self._lost or "the connection to the broker is gone")

    def _wait(self, done: Callable[[], bool], deadline: float) -> None:
        """Raises: Undelivered: it is not, by the deadline, or the connection is lost."""
        with self._changed:
            while not done():
                if self._lost is not None:
                    raise Refused(self._lost) if self._refused else Undelivered(self._lost)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Undelivered("the broker didn't answer in time")
                self._changed.wait(left)

    def _lose(self, reason: str) -> None:
        """The first reason counts."""
        with self._changed:
            if self._lost is None:
                self._lost = reason
            self._changed.notify_all()

    def _connected(
        self, _: Client, __: object, ___: ConnectFlags, reason: ReasonCode, said: Properties | None
    ) -> None:
        if reason.is_failure:
            who = "the user name or password" if reason.value in _FORBIDDEN else "the connection"
            self._refused = True
            self._lose(f"the broker refused {who}: {reason}")
            return
        self._largest = getattr(said, "MaximumPacketSize", None)
        self._at_once = min(IN_FLIGHT, getattr(said, "ReceiveMaximum", IN_FLIGHT))
        with self._changed:
            self._accepted = True
            self._changed.notify_all()

    def _disconnected(
        self, _: Client, __: object, flags: DisconnectFlags, reason: ReasonCode, ___: object
    ) -> None:
        said = f": {reason}" if flags.is_disconnect_packet_from_server else ""
        self._lose(f"the broker closed the connection{said}")

    def _published(
        self, _: Client, __: object, ident: int, reason: ReasonCode, ___: object
    ) -> None:
        with self._changed:
            self._acknowledged[ident] = reason
            self._changed.notify_all()

    def _subscribed(
        self, _: Client, __: object, ident: int, reasons: list[ReasonCode], ___: object
    ) -> None:
        failed = [reason for reason in reasons if reason.is_failure]
        with self._changed:
            self._acknowledged[ident] = (failed or reasons)[0]
            self._changed.notify_all()

    def _heard(self, _: Client, __: object, message: MQTTMessage) -> None:
        if self._on_message is not None:
            self._on_message(message.topic, bytes(message.payload))


class _NamedTls(ssl.SSLContext):
    """Verifies the name in the URL, though the connection goes to an address; by the deadline."""

    name = ""
    deadline = 0.0

    def wrap_socket(self, *args: object, **named: object) -> ssl.SSLSocket:
        """As the parent's, with the handshake. Raises: OSError: it failed; the socket is closed."""
        wrapped = super().wrap_socket(*args, **(named | {"server_hostname": self.name}))  # type: ignore[arg-type]
        try:
            wrapped.setblocking(False)
            self._shake_hands(wrapped)
        except BaseException:
            wrapped.close()
            raise
        return wrapped

    def _shake_hands(self, wrapped: ssl.SSLSocket) -> None:
        while True:
            left = self.deadline - time.monotonic()
            try:
                wrapped.do_handshake()
            except ssl.SSLWantReadError:
                select.select([wrapped], [], [], max(0.0, left))
            except ssl.SSLWantWriteError:
                select.select([], [wrapped], [], max(0.0, left))
            else:
                return
            if left <= 0:
                raise TimeoutError("the handshake took too long")


def _tls(name: str, trusted: str | None, deadline: float) -> ssl.SSLContext:
    context = _NamedTls(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.name, context.deadline = name, deadline
    if trusted is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(trusted)
    return context
