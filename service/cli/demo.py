"""`normwatch demo`: the whole service on a scene that the project draws itself."""

from __future__ import annotations

import json
import tempfile
import threading
from pathlib import Path

from rich.console import Console

from service import logs
from service.cli.serve import DataDir, Port, run_all
from service.settings import Settings


def demo(port: Port = None, data_dir: DataDir = None) -> None:
    """Play a drawn scene through the real service, and print its alerts. Needs no camera."""
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="normwatch-demo-") as temporary:
        folder = (data_dir or Path(temporary)).absolute()
        media = folder / "demo"
        media.mkdir(parents=True, exist_ok=True)
        changes = {"host": "127.0.0.1", "data_dir": folder, "api_keys": (), "port": port}
        settings = Settings().model_copy(
            update={name: value for name, value in changes.items() if value is not None}
        )
        logs.configure("WARNING")
        overrides = {
            "NORMWATCH_MEDIA_DIRS": json.dumps([str(media)]),
            # The demo's webhook receiver listens on loopback.
            "NORMWATCH_ALLOW_PRIVATE_RECEIVERS": "true",
            "NORMWATCH_API_KEYS": "",
            "NORMWATCH_LOG_LEVEL": "WARNING",
        }
        console.print("starting normwatch …")
        run_all(
            settings,
            on_ready=lambda url: _start_demo(url, media, console),
            overrides=overrides,
        )


def _start_demo(url: str, media: Path, console: Console) -> None:
    """Run the demo in a thread, while this one supervises the processes."""
    from service.tools.demo.demo_run import play

    threading.Thread(target=play, args=(url, media, console), daemon=True).start()
