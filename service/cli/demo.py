"""`normwatch demo`: the whole service on a scene that the project draws itself."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

from rich.console import Console

from service import logs
from service.cli.processes import DataDir, Port, run_all
from service.settings import Settings


def demo(port: Port = None, data_dir: DataDir = None) -> None:
    """Play a drawn scene through the real service, and show the alert. No camera, no download."""
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
            "NORMWATCH_MEDIA_DIRS": str(media),
            # The demo's webhook receiver listens on loopback.
            "NORMWATCH_ALLOW_PRIVATE_WEBHOOKS": "true",
            "NORMWATCH_API_KEYS": "",
            "NORMWATCH_LOG_LEVEL": "WARNING",
        }
        console.print("starting normwatch …")
        run_all(
            settings,
            on_ready=lambda url: _play_beside(url, media, console),
            overrides=overrides,
        )


def _play_beside(url: str, media: Path, console: Console) -> None:
    """Drive the demo in a thread; the processes are looked after meanwhile."""
    from service.demo.run import play

    threading.Thread(target=play, args=(url, media, console), daemon=True).start()
