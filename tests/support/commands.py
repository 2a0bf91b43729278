"""The `normwatch` command, run within the tests' own process."""

from __future__ import annotations

import pytest

from service.cli.main import main


def run(*arguments: str) -> None:
    """Run a command that succeeds."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 0


def outcome(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command; its exit status and all that it printed."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(arguments)
    said = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, said.out + said.err


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that refuses what it is given; the one line that it says."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("normwatch: ")
    return lines[0]
