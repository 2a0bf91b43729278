"""The page in a browser: static files on top of the API, no build and nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

STATIC = Path(__file__).parent / "static"
