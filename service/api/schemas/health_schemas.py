"""Answers about health."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class AliveOut(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class ReadyOut(BaseModel):
    """The process and the parts that it needs answer."""

    status: Literal["ready"] = "ready"
    database: Literal["ok"] = "ok"
    redis: Literal["ok"] = "ok"
