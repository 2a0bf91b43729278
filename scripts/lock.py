"""Writes requirements.lock and requirements-dev.lock: this environment's versions, for CI.

Run it with the project's own environment after an upgrade: `.venv/bin/python scripts/lock.py`.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
HEADER = (
    "# Tested versions, Linux. Written by scripts/lock.py; pyproject.toml has the lower bounds.\n"
)


def collect_versions(extras: frozenset[str]) -> dict[str, str]:
    """Collect the versions of all distributions that normwatch needs with these extras."""
    found: dict[str, str] = {}
    waiting = [("normwatch", extras)]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, requested = waiting.pop()
        if (name, requested) in seen:
            continue
        seen.add((name, requested))
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue  # for another platform
        found[name] = installed.version.partition("+")[0]
        for text in installed.requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in (*requested, "")):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    del found["normwatch"]
    return found


def main() -> None:
    """Write both files; the second holds only what development adds."""
    run = collect_versions(frozenset())
    develop = {k: v for k, v in collect_versions(frozenset({"dev"})).items() if k not in run}
    for name, versions in (("requirements.lock", run), ("requirements-dev.lock", develop)):
        lines = "".join(f"{key}=={versions[key]}\n" for key in sorted(versions))
        (ROOT / name).write_text(HEADER + lines)


if __name__ == "__main__":
    main()
