"""Values that a stream's settings may have, for the API, the tables and the messages alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from model.network.update_rules import UPDATE_RULES

Transport = Literal["tcp", "udp"]
"""RTSP's lower transport."""
Decode = Literal["all", "keyframes"]
"""Which pictures of the video are decoded."""
ZoneKind = Literal["watch", "ignore", "standing"]
"""What a zone is for: to watch, to ignore, or to watch for what stands still."""
if TYPE_CHECKING:
    MemoryRule = str
else:
    MemoryRule = Literal[tuple(UPDATE_RULES)]
    """The rule by which the memory learns."""
