"""Real servers for tests: Redis of both kinds, PostgreSQL, and an MQTT broker. Each in a process of
its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from service.bus import embedded

START_TIMEOUT_S = 30.0


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(
    condition: Callable[[], object], what: str, timeout_s: float = START_TIMEOUT_S
) -> None:
    """Ask until it is true. Raises: TimeoutError: names what was waited for."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        time.sleep(0.05)


@dataclass
class RedisServer:
    """A server that can be killed and started again, with its data."""

    command: list[str]
    url: str
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        client = Redis.from_url(self.url)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except RedisError:
                return False

        try:
            wait_for(answers, self.url)
        finally:
            client.close()

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """End it, in any state."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()


def valkey(folder: Path) -> RedisServer:
    """The embedded server, as `normwatch serve` runs it."""
    return RedisServer(embedded.command(folder), embedded.url(folder))


def redis7(folder: Path) -> RedisServer:
    """Debian's redis-server (7.0), on a free port."""
    port = free_port()
    program = shutil.which("redis-server")
    if program is None:
        raise FileNotFoundError("redis-server")
    options = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
    return RedisServer(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *options],
        f"redis://127.0.0.1:{port}/0",
    )


@dataclass
class Broker:
    """A mosquitto that can be killed and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = [str(shutil.which("mosquitto")), "-c", str(self.folder / "mosquitto.conf")]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for(listens, "mosquitto")

    def kill(self) -> None:
        """kill -9; unless it persists, all that it holds is lost."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """End it; where it persists, it writes down what it holds."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()


def mosquitto(
    folder: Path,
    passwords: dict[str, str],
    *,
    persistent: bool = False,
    certificate: Path | None = None,
    rules: str = "",
    max_packet_bytes: int | None = None,
) -> Broker:
    """Debian's mosquitto on a free port of loopback.

    Args:
        certificate: its certificate and key in one file: it speaks TLS.
        rules: who may do what, as its ACL file has it; "" lets all users do all.
        max_packet_bytes: None takes what it gets.
    """
    port = free_port()
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous false",
        f"password_file {folder / 'passwords'}",
        f"persistence {'true' if persistent else 'false'}",
        f"persistence_location {folder}/",
    ]
    if os.geteuid() == 0:
        lines.append("user root")
    if certificate is not None:
        lines += [f"certfile {certificate}", f"keyfile {certificate}"]
    if max_packet_bytes is not None:
        lines.append(f"max_packet_size {max_packet_bytes}")
    if rules:
        (folder / "rules").write_text(rules)
        lines.append(f"acl_file {folder / 'rules'}")
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    (folder / "passwords").touch(mode=0o600)
    for user, password in passwords.items():
        command = ["mosquitto_passwd", "-b", str(folder / "passwords"), user, password]
        subprocess.run(command, check=True)
    return Broker(folder, port)


def postgres_programs() -> Path | None:
    """The folder of initdb and postgres, or None where PostgreSQL isn't installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb")
    if folders:
        return folders[-1].parent
    return Path(found).parent if found else None


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL server with an empty database; yields its URL. It won't run as root, so it
    runs as the user `postgres` (or `nobody`) there."""
    programs = postgres_programs()
    if programs is None:
        raise FileNotFoundError("initdb")
    account = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="normwatch-pg-"))
    if account is not None:
        shutil.chown(folder, account)
    port = free_port()
    data = folder / "data"
    run: dict[str, object] = {"user": account, "cwd": folder} if account else {"cwd": folder}
    quiet = {"stdout": subprocess.DEVNULL}
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"],
        check=True,
        **quiet,  # type: ignore[call-overload]
        **run,
    )
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, *options.split()],
        stderr=subprocess.DEVNULL,
        **run,  # type: ignore[call-overload]
    )
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def answers() -> bool:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        wait_for(answers, "PostgreSQL")
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> str | None:
    if os.geteuid() != 0:
        return None
    import pwd  # noqa: PLC0415

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
