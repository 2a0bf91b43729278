"""What a guarded process may do. A hook can't be removed, so each test starts a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

GUARDED = """
import socket, ssl, subprocess, sys, urllib.request
from pathlib import Path
import requests
from service.alert.apprise.plugin_guard import PluginGuard
url, folder = sys.argv[1], Path(sys.argv[2])
guard = PluginGuard(lambda address: address == "127.0.0.1", folder)
guard.install()
try:
    {work}
    print("done")
except Exception as error:
    print(type(error).__name__, error)
print(guard.refused)
"""


@pytest.fixture
def other(request: pytest.FixtureRequest) -> Iterator[HTTPServer]:
    """A server on an address that isn't allowed."""
    with HTTPServer(host="127.0.0.2") as server:
        yield server


def _run_guarded(work: str, folder: Path, url: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", GUARDED.format(work=work), url, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_allowed_addresses_are_reached(tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("here")
    url = f"http://127.0.0.1:{httpserver.port}/"
    assert _run_guarded("assert requests.get(url).text == 'here'", tmp_path, url) == "done\n[]\n"


def test_a_redirect_leads_nowhere_else(
    tmp_path: Path, httpserver: HTTPServer, other: HTTPServer
) -> None:
    target = f"http://127.0.0.2:{other.port}/"
    httpserver.expect_request("/").respond_with_data("", 302, {"Location": target})
    said = _run_guarded("requests.get(url)", tmp_path, f"http://127.0.0.1:{httpserver.port}/")
    assert "it leads to 127.0.0.2" in said
    assert len(httpserver.log) == 1
    assert other.log == []


@pytest.mark.parametrize(
    "work",
    [
        "socket.create_connection(('127.0.0.2', 9), 1)",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.2', 514))",
        "socket.socket(type=socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('127.0.0.2', 514))",
        "socket.socket(socket.AF_UNIX).connect('/run/any')",
        "socket.socket(socket.AF_INET6).connect(('::1', 9))",
        "socket.socket().connect(('localhost', 9))",
        "subprocess.run(['true'])",
        "__import__('os').system('true')",
        "__import__('os').fork()",
        "open('/etc/passwd')",
        "Path('/proc/self/environ').read_bytes()",
        "(folder.parent / 'outside').write_text('x')",
        "(folder / 'new').write_text('x')",
        "(folder / 'link').read_text()",
    ],
)
def test_what_is_not_allowed(work: str, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    said = _run_guarded(work, folder)
    assert said.startswith("PermissionError"), said
    assert "[]" not in said


def test_files_of_the_folder_and_of_libraries_are_read(tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text("key")
    work = "assert (folder / 'key.json').read_text() == 'key'; import smtplib, email.mime.image"
    assert _run_guarded(work, tmp_path) == "done\n[]\n"
