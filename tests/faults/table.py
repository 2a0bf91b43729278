"""What was seen, for docs/reliability.md: lines of JSON in the file that NORMWATCH_FAULTS names."""

from __future__ import annotations

import json
import os
from pathlib import Path


def note(fault: str, promise: str, seen: str) -> None:
    """One row: what went wrong, what is promised, what happened."""
    print(f"{fault}: {seen}")
    if named := os.environ.get("NORMWATCH_FAULTS"):
        with Path(named).open("a") as file:
            file.write(json.dumps({"fault": fault, "promise": promise, "seen": seen}) + "\n")
