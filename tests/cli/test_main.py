"""The command line as a user meets it: in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import serve
from service.settings import Settings
from tests.support.servers import RedisServer, free_port, wait_for


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "service", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("serve", "--port", "banana"), ("--port", "banana")),
        (("serve", "--port", "99999"), ("--port", "99999")),
        (("train", "/no/such/footage", "--out", "x"), ("/no/such/footage",)),
        (("train", "/no/5.00\u202fPM\u3000x", "--out", "x"), ("/no/5.00\u202fPM\u3000x",)),
        (("train", "--out", "x"), ("sources",)),
        (("evaluate", "no-such-bundle", "/tmp"), ("no-such-bundle",)),
        (("fly",), ("fly",)),
        (("api",), ("REDIS_URL",)),
        (("worker",), ("REDIS_URL",)),
    ],
)
def test_errors_are_one_line_that_names_argument_and_value(
    arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    done = _run(*arguments, NORMWATCH_DATA_DIR=str(tmp_path / "data"))
    assert done.returncode != 0
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("normwatch: ")
    for word in words:
        assert word in lines[0]


def test_debug_shows_where_it_failed(tmp_path: Path) -> None:
    done = _run("evaluate", "no-such-bundle", str(tmp_path), "--debug")
    assert "Traceback" in done.stderr


def test_a_wrong_setting_is_named_as_its_variable(tmp_path: Path) -> None:
    done = _run("serve", NORMWATCH_EVENT_RELEASE="7", NORMWATCH_DATA_DIR=str(tmp_path))
    assert done.returncode == 2
    assert "NORMWATCH_EVENT_RELEASE" in done.stderr
    assert "7" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_open_host_needs_a_key(tmp_path: Path) -> None:
    done = _run(
        "serve", "--host", "0.0.0.0", "--port", str(free_port()), "--data-dir", str(tmp_path)
    )
    assert done.returncode == 2
    assert "NORMWATCH_API_KEYS" in done.stderr


def test_a_taken_port_of_an_ipv6_address_is_named_with_brackets(tmp_path: Path) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        done = _run("serve", "--host", "::1", "--port", str(port), "--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert f"[::1]:{port}" in done.stderr


def test_help_and_version_name_the_commands() -> None:
    output = _run("--help").stdout
    for command in (
        "serve",
        "demo",
        "train",
        "learn",
        "evaluate",
        "score",
        "import",
        "models",
        "listen",
        "api",
        "worker",
        "learner",
    ):
        assert command in output
    assert _run("--version").stdout.strip()[0].isdigit()


def test_a_front_end_that_runs_alone_leaves_nothing_for_other_users(
    tmp_path: Path, valkey_server: RedisServer
) -> None:
    data_dir, port = tmp_path / "data", free_port()
    (data_dir / "media").mkdir(parents=True, mode=0o755)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "service", "api", "--port", str(port)],
        env=os.environ
        | {"NORMWATCH_REDIS_URL": valkey_server.url, "NORMWATCH_DATA_DIR": str(data_dir)},
        stderr=subprocess.DEVNULL,
        umask=0o022,
    )
    try:
        wait_for((data_dir / "normwatch.db").exists, "the database")
        modes = {path.name: path.stat().st_mode & 0o777 for path in data_dir.iterdir()}
    finally:
        process.terminate()
        process.wait(30)
    assert modes.pop("media") == 0o700
    assert modes["normwatch.db"] == 0o600
    assert not any(mode & 0o077 for mode in modes.values())


def test_only_the_front_end_gets_keys_and_the_databases_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = ("NORMWATCH_API_KEYS", "NORMWATCH_DATABASE_URL", "PGPASSWORD")
    for name in secrets:
        monkeypatch.setenv(name, "a-secret-of-many-letters")
    programs = serve._list_programs(Settings(data_dir=tmp_path), {})
    having = {each.name for each in programs if not set(secrets).isdisjoint(each.environment)}
    assert having == {"api"}
