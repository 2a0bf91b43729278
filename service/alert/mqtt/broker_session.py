"""One connection to a broker, from the check of its address to its end.

It never reconnects: another connection is another session, whose address is checked again.

It speaks MQTT 5, because only there a broker says what it doesn't allow.
"""

from __future__ import annotations

import contextlib
import select
import ssl
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from service.alert.addresses import AllowPrivate, Resolver, find_checked_addresses, resolve
from service.alert.attempts import Undelivered
from service.alert.mqtt.broker_url import BrokerUrl
from service.errors import AddressRefused
from service.timers import Deadline

log = structlog.stdlib.get_logger(__name__)

KEEPALIVE_S = 20
LOOP_S = 0.25
IN_FLIGHT = 8
"""Publications that may wait for their acknowledgement at the same time."""
MAX_RECEIVED_BYTES = 65_536
"""The largest packet that the broker may send."""
_HEADER_BYTES = 1024
"""What a packet has besides its payload, at most."""
_FORBIDDEN = (134, 135)
"""Bad user name or password; not authorized."""


class LoginRefused(Undelivered):
    """The broker is there, and refuses the connection: trying again soon won't help."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A payload for a topic, published at QoS 1."""

    topic: str
    payload: bytes
    retain: bool = True
    message_id: str | None = None
    """It is sent along as the user property `webhook-id`."""


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """How brokers are connected to; tests replace its parts."""

    allow_private: AllowPrivate
    resolver: Resolver = resolve
    trusted: str | None = None
    """A file of certificate authorities; None trusts the system's."""


class BrokerSession:
    """A connection that is up when it is made. Any thread may use it."""

    def __init__(
        self,
        url: BrokerUrl,
        options: ConnectOptions,
        deadline: Deadline,
        *,
        will: Publication | None = None,
        on_message: Callable[[str, bytes], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        """Connect by the deadline; both callbacks run in the session's thread.

        Raises: Undelivered: there is no connection, and why.
        """
        self._url = url
        self._deadline = deadline
        self._on_message = on_message
        self._on_lost = on_lost
        self._turn = threading.Lock()
        self._changed = threading.Condition()
        self._acknowledged: dict[int, ReasonCode] = {}
        self._accepted = False
        self._lost: str | None = None
        self._refused = False
        self._published_last = False
        self._largest: int | None = None
        self._at_once = IN_FLIGHT
        self._client = self._connect(options, will)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()
        try:
            self._wait(lambda: self._accepted, deadline)
        except BaseException:
            self.close(orderly=False)
            raise

    @property
    def is_up(self) -> bool:
        """True while the connection is there."""
        return self._lost is None

    @property
    def trouble(self) -> str:
        """Why it isn't."""
        return self._lost or "it is up"

    def accepts(self, payload: bytes) -> bool:
        """Return whether the broker accepts payloads of that size."""
        return self._largest is None or len(payload) + _HEADER_BYTES <= self._largest

    def publish(
        self, publications: Sequence[Publication], deadline: Deadline, *, last: bool = False
    ) -> None:
        """Publish in this order, and return when the broker has acknowledged all of them.

        Nothing can be published after the last ones.

        Raises: Undelivered: it hasn't, and why.
        """
        if not self._turn.acquire(timeout=deadline.left_s):
            raise Undelivered("the broker was busy with other messages")
        try:
            if self._published_last:
                raise Undelivered("the connection to the broker ends")
            self._published_last = last
            for first in range(0, len(publications), self._at_once):
                self._publish(publications[first : first + self._at_once], deadline)
        finally:
            self._turn.release()

    def subscribe(self, topic: str, deadline: Deadline) -> None:
        """Subscribe to a topic. Raises: Undelivered: the broker doesn't say that it will."""
        with self._turn:
            reason = self._wait_for_reason(*self._client.subscribe(topic), deadline)
        if reason.is_failure:
            raise Undelivered(f"the broker doesn't let us subscribe: {reason}")

    def unsubscribe(self, topic: str, deadline: Deadline) -> None:
        """End a subscription. Raises: Undelivered: the broker doesn't answer."""
        with self._turn:
            self._wait_for_reason(*self._client.unsubscribe(topic), deadline)

    def close(self, *, orderly: bool = True) -> None:
        """End it; the broker publishes the last will unless it is orderly."""
        if orderly and self.is_up:
            self._client.disconnect()
        else:
            self._lose("it was closed")
        if threading.current_thread() is not self._thread:
            self._thread.join(2 * LOOP_S)
            self._lose("it was closed")
            self._thread.join(2 * LOOP_S)

    def _connect(self, options: ConnectOptions, will: Publication | None) -> Client:
        """Open the TCP and TLS connection, and prepare the MQTT one."""
        url = self._url
        try:
            addresses = find_checked_addresses(
                url.host, url.port, allow_private=options.allow_private, resolver=options.resolver
            )
        except (AddressRefused, OSError) as error:
            raise Undelivered(str(error)) from error
        failure: Exception = OSError(f"the host {url.host} has no address")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            client = self._make_client(options, will)
            # An address that doesn't answer leaves time for the others.
            client.connect_timeout = max(0.1, self._deadline.left_s / left)
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = MAX_RECEIVED_BYTES
            try:
                client.connect(address, url.port, KEEPALIVE_S, properties=properties)
            except (OSError, ValueError) as error:
                failure = error
            else:
                return client
        if isinstance(failure, TimeoutError):
            raise Undelivered("the broker didn't answer in time") from failure
        raise Undelivered(f"the connection failed: {failure}") from failure

    def _make_client(self, options: ConnectOptions, will: Publication | None) -> Client:
        url = self._url
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"normwatch{uuid.uuid4().hex[:12]}",
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.max_queued_messages_set(2 * IN_FLIGHT)
        if url.user is not None:
            client.username_pw_set(url.user, url.password)
        if url.tls:
            client.tls_set_context(_make_tls(url.host, options.trusted, self._deadline))
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        client.on_connect = self._handle_connect
        client.on_disconnect = self._handle_disconnect
        client.on_publish = self._handle_answer
        client.on_subscribe = client.on_unsubscribe = self._handle_answer
        client.on_message = self._handle_message
        # Only the session's thread writes, even if another one publishes.
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
        self._drop_callbacks()
        if self._on_lost is not None:
            self._on_lost()

    def _drop_callbacks(self) -> None:
        """Break the reference cycle, so that paho's resources are freed with the session."""
        client = self._client
        client.on_connect = client.on_disconnect = client.on_publish = None
        client.on_subscribe = client.on_unsubscribe = client.on_message = None

    def _publish(self, batch: Sequence[Publication], deadline: Deadline) -> None:
        idents: dict[int, Publication] = {}
        for publication in batch:
            properties = None
            if publication.message_id is not None:
                properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
                properties.UserProperty = ("webhook-id", publication.message_id)
            info = self._client.publish(
                publication.topic, publication.payload, 1, publication.retain, properties
            )
            self._check_code(info.rc)
            idents[info.mid] = publication
        try:
            self._wait(lambda: idents.keys() <= self._acknowledged.keys(), deadline)
        except Undelivered:
            # Acknowledgements that come later would have nobody waiting for them.
            self._lose("the broker didn't acknowledge messages in time")
            raise
        reasons = {ident: self._acknowledged.pop(ident) for ident in idents}
        for ident, reason in reasons.items():
            if reason.is_failure:
                topic = idents[ident].topic
                raise Undelivered(f"the broker refused what goes to {topic}: {reason}")

    def _wait_for_reason(
        self, code: MQTTErrorCode, ident: int | None, deadline: Deadline
    ) -> ReasonCode:
        self._check_code(code)
        if ident is None:
            raise Undelivered("the connection to the broker is gone")
        self._wait(lambda: ident in self._acknowledged, deadline)
        return self._acknowledged.pop(ident)

    def _check_code(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise Undelivered(self._lost or "the connection to the broker is gone")

    def _wait(self, done: Callable[[], bool], deadline: Deadline) -> None:
        """Wait. Raises: Undelivered: it isn't done by the deadline, or the connection is lost."""
        with self._changed:
            while not done():
                if self._lost is not None:
                    raise LoginRefused(self._lost) if self._refused else Undelivered(self._lost)
                if deadline.is_over:
                    raise Undelivered("the broker didn't answer in time")
                self._changed.wait(deadline.left_s)

    def _lose(self, reason: str) -> None:
        """Note that the connection is lost; the first reason is kept."""
        with self._changed:
            if self._lost is None:
                self._lost = reason
            self._changed.notify_all()

    def _handle_connect(
        self,
        _: Client,
        __: object,
        ___: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            who = "the user name or password" if reason.value in _FORBIDDEN else "the connection"
            self._refused = True
            self._lose(f"the broker refused {who}: {reason}")
            return
        self._largest = getattr(properties, "MaximumPacketSize", None)
        self._at_once = min(IN_FLIGHT, getattr(properties, "ReceiveMaximum", IN_FLIGHT))
        with self._changed:
            self._accepted = True
            self._changed.notify_all()

    def _handle_disconnect(
        self, _: Client, __: object, flags: DisconnectFlags, reason: ReasonCode, ___: object
    ) -> None:
        said = f": {reason}" if flags.is_disconnect_packet_from_server else ""
        self._lose(f"the broker closed the connection{said}")

    def _handle_answer(
        self, _: Client, __: object, ident: int, answer: ReasonCode | list[ReasonCode], ___: object
    ) -> None:
        reasons = answer if isinstance(answer, list) else [answer]
        failed = [reason for reason in reasons if reason.is_failure]
        with self._changed:
            self._acknowledged[ident] = (failed or reasons)[0]
            self._changed.notify_all()

    def _handle_message(self, _: Client, __: object, message: MQTTMessage) -> None:
        if self._on_message is not None:
            self._on_message(message.topic, bytes(message.payload))


class _NamedTls(ssl.SSLContext):
    """Verifies the URL's host name, though the connection goes to an address, by a deadline."""

    name = ""
    deadline = Deadline(0.0)

    def wrap_socket(self, *args: object, **named: object) -> ssl.SSLSocket:
        """Wrap a socket, and do the handshake. Raises: OSError: it failed; the socket is closed."""
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
            left_s = self.deadline.left_s
            try:
                wrapped.do_handshake()
            except ssl.SSLWantReadError:
                select.select([wrapped], [], [], left_s)
            except ssl.SSLWantWriteError:
                select.select([], [wrapped], [], left_s)
            else:
                return
            if not left_s:
                raise TimeoutError("the handshake took too long")


def _make_tls(name: str, trusted: str | None, deadline: Deadline) -> ssl.SSLContext:
    context = _NamedTls(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.name, context.deadline = name, deadline
    if trusted is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(trusted)
    return context
