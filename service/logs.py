"""Configures logging: structlog over the standard library, to standard error."""

from __future__ import annotations

import logging
import re
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from model.footage.locations import redact_text

_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")


def hide_secrets(text: str) -> str:
    """Return the text without credentials of URLs and without webhook secrets."""
    return _SECRET.sub("whsec_***", redact_text(text))


def _hide_event_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {
        key: hide_secrets(value) if isinstance(value, str) else value
        for key, value in event.items()
    }


def configure(level: str = "INFO", *, as_json: bool = False) -> None:
    """Set up logging for a process. Everything that is logged goes through `hide_secrets`."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _hide_event_secrets,
    ]
    renderer = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Metrics count the requests; httpx would log webhook URLs.
    for name in ("uvicorn.access", "httpx", "httpcore", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
