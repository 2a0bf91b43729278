"""Why a source of footage can't be read."""

from __future__ import annotations

from enum import StrEnum


class SourceFault(StrEnum):
    """The cause for which a source can't be read."""

    NOT_VIDEO = "not_video"
    """The source answers, but doesn't send video."""
    UNREACHABLE = "unreachable"
    """The source doesn't answer, or refuses: it may be off now."""
    REFUSED = "refused"
    """It rejects our user name and password: repeated attempts may lock the account."""


class FootageError(ValueError):
    """A source that can't be opened or read. The reason is a phrase without credentials."""

    def __init__(
        self, reason: str, fault: SourceFault = SourceFault.NOT_VIDEO, *, name: str = ""
    ) -> None:
        """Args: name: the source's name, without credentials; the message begins with it."""
        super().__init__(f"{name}: {reason}" if name else reason)
        self.reason = reason
        self.fault = fault

    def with_name(self, name: str) -> FootageError:
        """Return the same error with a message that begins with the source's name."""
        return FootageError(self.reason, self.fault, name=name)
