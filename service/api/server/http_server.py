"""Makes the server's configuration from the settings."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from service.api.server.guarded_protocol import GuardedConfig
from service.api.server.open_connections import ConnectionLimits, OpenConnections
from service.descriptors import count_visitors_share, raise_descriptor_limit
from service.metrics import Metrics
from service.settings import Settings

BACKLOG = 512
"""Connections that may wait to be accepted: all of them may be accepted in one go."""


def make_server_config(app: FastAPI, settings: Settings, **options: Any) -> GuardedConfig:
    """Make uvicorn's configuration for `create_app`'s application.

    Args:
        options: further ones of uvicorn, such as `port`.
    """
    metrics: Metrics = app.state.metrics
    limits = ConnectionLimits(
        total=min(
            settings.max_connections, count_visitors_share(raise_descriptor_limit()) - BACKLOG
        ),
        per_address=settings.max_connections_per_address,
        exempt=settings.trusted_proxies,
    )
    connections = OpenConnections(
        limits, lambda reason: metrics.closed_connections.labels(reason).inc()
    )
    return GuardedConfig(
        app,
        connections,
        host=settings.host,
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        # A proxy's word counts only for who the client is: for limits on guesses, and in logs.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
        **options,
    )
