"""Files of this machine's disk as answers: whole, a range, or nothing where the client has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import FileResponse

# A better one may replace it, and whoever may see it may not be the next one at this browser.
_HEADERS = {"Cache-Control": "private, no-cache"}


def file_answers(content_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    """What a route that answers with a file declares."""
    return {
        200: {"content": {content_type: {}}, "description": description},
        206: {"content": {content_type: {}}, "description": "The range that was asked for."},
    }


def file_answer(path: Path, content_type: str, request: Request) -> Response:
    """The file, a range of it, or 304 where the client has it already.

    Raises: OSError: it isn't there any more.
    """
    found = FileResponse(path, media_type=content_type, headers=_HEADERS, stat_result=path.stat())
    if found.headers["etag"] in request.headers.get("if-none-match", ""):
        kept = {name: found.headers[name] for name in ("etag", "last-modified", "cache-control")}
        return Response(status_code=304, headers=kept)
    return found
