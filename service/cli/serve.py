"""`normwatch serve`, `api`, `worker` and `learner`: the long-running commands."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import httpx
import typer
from redis.exceptions import RedisError
from rich.console import Console
from rich.markup import escape

from service import logs
from service.bus import embedded
from service.bus.connection import check_url, connect
from service.cli.allocator import restart_with_tunables
from service.errors import BadInput
from service.settings import Settings
from service.signals import stop_on_signals
from service.supervisor import SupervisedProgram, Supervisor
from service.urls import format_authority

FRONT_END_ONLY = frozenset(
    {"NORMWATCH_API_KEYS", "NORMWATCH_DATABASE_URL", "DATABASE_URL", "PGPASSWORD"}
)
PRIVATE_FOLDERS = ("learning", "media", "normal", "redis")
"""Parts of the data folder that hold pictures and passwords."""

Host = Annotated[str | None, typer.Option(help="Address to listen on; loopback unless given.")]
Port = Annotated[
    int | None, typer.Option(help="Port to listen on; 8000 unless given.", min=0, max=65535)
]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder of the database, Redis's file and your models.")
]

_LEARNER = [sys.executable, "-P", "-m", "service.learn", "learner"]


def serve(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run everything: Redis (embedded unless REDIS_URL is given), front end, worker, learner."""
    settings = _make_settings(host, port, data_dir)
    logs.configure(settings.log_level, as_json=settings.log_json)
    console = Console(highlight=False)

    def print_url(url: str) -> None:
        # Escaped: the brackets of an IPv6 address would be taken for a style.
        console.print(f"normwatch is at [bold]{escape(url)}[/bold]")

    run_all(settings, on_ready=print_url)


def api(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run the front end alone. Needs REDIS_URL."""
    settings = _require_redis(_make_settings(host, port, data_dir))
    logs.configure(settings.log_level, as_json=settings.log_json)
    import uvicorn

    from service.api.app import create_app
    from service.api.network_exposure import check_exposure
    from service.api.server.http_server import make_server_config

    check_exposure(settings)
    _prepare_folder(settings.data_dir)
    config = make_server_config(
        create_app(settings), settings, port=settings.port, timeout_graceful_shutdown=3
    )
    uvicorn.Server(config).run()


def worker(
    data_dir: DataDir = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
) -> None:
    """Run one worker alone. Needs REDIS_URL."""
    restart_with_tunables()  # makes PyTorch's engine a seventh faster
    settings = _require_redis(_make_settings(None, None, data_dir))
    if device is not None:
        settings = settings.model_copy(update={"device": device})
    logs.configure(settings.log_level, as_json=settings.log_json)
    # Read when torch is loaded. Threads that spin while they wait for each other take the cores
    # from capture and Redis: on a busy machine a frame then takes several times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from service.infer.worker_main import run_worker

    raise typer.Exit(run_worker(settings))


def learner(data_dir: DataDir = None) -> None:
    """Run one learner alone: it trains models of cameras. Needs REDIS_URL."""
    settings = _require_redis(_make_settings(None, None, data_dir))
    # The process begins again without the other commands, which take memory.
    os.environ["NORMWATCH_DATA_DIR"] = str(settings.data_dir)
    sys.stdout.flush()
    os.execv(sys.executable, _LEARNER)


def learn_job(folder: Path) -> None:
    """Run a learner's process for one learning; its order comes on standard input."""
    restart_with_tunables()
    settings = Settings()
    logs.configure(settings.log_level, as_json=settings.log_json)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from service.learn.learn_job import run_learn_job

    raise typer.Exit(run_learn_job(folder))


def _make_settings(host: str | None, port: int | None, data_dir: Path | None) -> Settings:
    given = {"host": host, "port": port, "data_dir": data_dir}
    changes = {name: value for name, value in given.items() if value is not None}
    return Settings().model_copy(update=changes)


def _require_redis(settings: Settings) -> Settings:
    if settings.redis_url is None:
        raise BadInput("REDIS_URL", None, "must be set for a process that runs alone")
    return settings


def run_all(
    settings: Settings,
    *,
    on_ready: Callable[[str], None],
    overrides: Mapping[str, str] | None = None,
) -> None:
    """Run all processes until SIGINT or SIGTERM; `on_ready` gets the URL once it answers.

    Args:
        overrides: environment variables for the children.
    Raises: BadInput: the port is taken, the folder is in use, or the host is open without a key.
        typer.Exit: a process gave up.
    """
    from service.api.network_exposure import check_exposure

    check_exposure(settings)
    if settings.redis_url is not None:
        check_url(settings.redis_url)
    settings = settings.model_copy(update={"port": _find_port(settings)})
    _prepare_folder(settings.data_dir)
    stop = threading.Event()
    with _lock_folder(settings.data_dir), stop_on_signals(stop):
        supervisor = Supervisor(_list_programs(settings, overrides or {}))
        try:
            status = supervisor.start(stop)
            if status is None and not stop.is_set():
                on_ready(_make_base_url(settings))
                status = supervisor.run(stop)
        finally:
            supervisor.stop()
    if status:
        raise typer.Exit(status)


def _prepare_folder(data_dir: Path) -> None:
    """Make the data folder, and close what an older version left open to other users.

    Raises: BadInput: it can't be made.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput("--data-dir", str(data_dir), str(error.strerror)) from None
    # Not the folder itself: it may be one that others use, too.
    for path in (*data_dir.glob("normwatch.db*"), *map(data_dir.joinpath, PRIVATE_FOLDERS)):
        with suppress(FileNotFoundError, PermissionError):
            path.chmod(0o700 if path.is_dir() else 0o600)


def _list_programs(settings: Settings, overrides: Mapping[str, str]) -> list[SupervisedProgram]:
    redis_url = settings.redis_url or embedded.url(settings.data_dir)
    environment = (
        os.environ
        | {
            "NORMWATCH_REDIS_URL": redis_url,
            "NORMWATCH_DATA_DIR": str(settings.data_dir.absolute()),
            "NORMWATCH_HOST": settings.host,
            "NORMWATCH_PORT": str(settings.port),
        }
        | dict(overrides)
    )
    # -P: a `model/` or `service/` in the working directory must not shadow the installed ones.
    own = [sys.executable, "-P", "-m", "service"]
    programs = [
        SupervisedProgram("api", [*own, "api"], environment, lambda: _is_api_ready(settings)),
        SupervisedProgram("worker", [*own, "worker"], _hide_secrets(environment)),
        SupervisedProgram("learner", _LEARNER, _hide_secrets(environment)),
    ]
    if settings.redis_url is None:
        command = embedded.command(settings.data_dir)
        programs.insert(
            0,
            SupervisedProgram(
                "redis",
                command,
                _hide_secrets(os.environ),
                lambda: _is_redis_ready(redis_url),
            ),
        )
    return programs


def _hide_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that decodes what cameras send: without our secrets."""
    return {
        name: value for name, value in environment.items() if name.upper() not in FRONT_END_ONLY
    }


def _is_redis_ready(url: str) -> bool:
    client = connect(url)
    try:
        return bool(client.ping())
    except RedisError:
        return False
    finally:
        client.close()


def _make_base_url(settings: Settings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://{format_authority(host, settings.port)}"


def _is_api_ready(settings: Settings) -> bool:
    try:
        return httpx.get(
            f"{_make_base_url(settings)}/readyz", timeout=2.0, trust_env=False
        ).is_success
    except httpx.HTTPError:
        return False


def _find_port(settings: Settings) -> int:
    """Return the port, or for 0 a free one. Raises: BadInput: it can't be listened on."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            where = format_authority(settings.host, settings.port)
            raise BadInput("--port", where, f"cannot listen there: {error.strerror}") from None
        return int(probe.getsockname()[1])


@contextmanager
def _lock_folder(data_dir: Path) -> Iterator[None]:
    """Hold the folder's lock file. Raises: BadInput: another `serve` holds it."""
    with (data_dir / "serve.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(
                "--data-dir", str(data_dir), "another normwatch serve uses this folder"
            ) from None
        yield
