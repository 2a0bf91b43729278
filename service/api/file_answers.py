"""Answers with files of this machine's disk: whole, a range, or 304 if the client has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import FileResponse

# A better picture may replace it, and the next user of this browser may not be allowed to see it.
_HEADERS = {"Cache-Control": "private, no-cache"}


def describe_file_answers(content_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    """Return what a route that answers with a file declares."""
    return {
        200: {"content": {content_type: {}}, "description": description},
        206: {"content": {content_type: {}}, "description": "The range that was asked for."},
    }


def answer_with_file(path: Path, content_type: str, request: Request) -> Response:
    """Answer with the file, a range of it, or 304 where the client has it already.

    Raises: OSError: it isn't there any more.
    """
    found = FileResponse(path, media_type=content_type, headers=_HEADERS, stat_result=path.stat())
    if found.headers["etag"] in request.headers.get("if-none-match", ""):
        kept = {name: found.headers[name] for name in ("etag", "last-modified", "cache-control")}
        return Response(status_code=304, headers=kept)
    return found
