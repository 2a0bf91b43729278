"""`normwatch listen`: a webhook listener for trying things out."""

from __future__ import annotations

import threading
import time
from typing import Annotated

import typer
from rich.console import Console

from service.errors import BadInput
from service.signals import stop_on_signals


def listen(
    port: Annotated[int, typer.Option(help="Port on loopback to listen on.", min=1, max=65535)],
    secret: Annotated[str, typer.Option(help="The webhook's secret, `whsec_…`.")],
) -> None:
    """Print alerts as they arrive, after checking their signatures."""
    from service.tools.demo.demo_run import describe_alert
    from service.tools.demo.webhook_listener import WebhookListener

    console = Console(highlight=False)
    if not secret.startswith("whsec_"):
        raise BadInput("--secret", "***", "must begin with whsec_")
    try:
        listener = WebhookListener(
            secret, lambda alert: console.print(describe_alert(alert, time.time())), port
        )
    except ValueError as error:
        raise BadInput("--secret", "whsec_***", f"is no webhook secret: {error}") from None
    except OSError as error:
        raise BadInput("--port", port, f"cannot listen there: {error.strerror}") from None
    stop = threading.Event()
    with listener, stop_on_signals(stop):
        console.print(f"listening at http://127.0.0.1:{port}/")
        stop.wait()
