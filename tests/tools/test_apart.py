"""The service works without the tools: only the command line imports them."""

from __future__ import annotations

from pathlib import Path

SERVICE = Path(__file__).resolve().parents[2] / "service"


def test_only_the_command_line_imports_tools() -> None:
    users = {
        path.relative_to(SERVICE).parts[0]
        for path in SERVICE.rglob("*.py")
        if "service.tools" in path.read_text()
    }
    assert users == {"cli", "tools"}
