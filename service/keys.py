"""Declares every Redis key.

Keys of one camera share a hash tag, so that one Lua script may touch them all on a cluster too.
"""

from __future__ import annotations

STREAMS = "nw:streams"
"""Hash of StreamConfig (JSON) by stream id; only the front end writes it."""

WORKERS = "nw:workers"
"""Hash of WorkerStatus (JSON) by worker id; a worker writes its own field about every second."""

RECORDER = "nw:recorder"
"""String with a time to live: the front end that records now."""


def lease(stream_id: str) -> str:
    """Key of a string with a time to live, "worker:epoch": the camera's owner."""
    return f"nw:{{{stream_id}}}:lease"


def epoch(stream_id: str) -> str:
    """Key of an integer that only rises: the fencing epoch of the newest lease."""
    return f"nw:{{{stream_id}}}:epoch"


def last_frame(stream_id: str) -> str:
    """Key of an integer: the number of the newest frame whose score was published."""
    return f"nw:{{{stream_id}}}:last"


def scores(stream_id: str) -> str:
    """Key of a Redis stream of FrameScores, several an entry; the recorder deletes stored ones."""
    return f"nw:{{{stream_id}}}:scores"


def backlog(stream_id: str) -> str:
    """Key of an integer: the number of scores that wait in `scores`."""
    return f"nw:{{{stream_id}}}:backlog"


def notes(stream_id: str) -> str:
    """Key of a bounded Redis stream of StreamNote, on its way to the stream's log."""
    return f"nw:{{{stream_id}}}:notes"


def uploads(stream_id: str) -> str:
    """Key of a Redis stream of UploadedFrame; an entry is deleted when its score is published."""
    return f"nw:{{{stream_id}}}:uploads"


def registration(stream_id: str) -> str:
    """Key of a string with a time to live that exists while the stream is registered.

    `STREAMS` says the same, but hasn't the camera's hash tag.
    """
    return f"nw:{{{stream_id}}}:known"


def upload_bytes(stream_id: str) -> str:
    """Key of an integer: the bytes of pictures that wait in `uploads`."""
    return f"nw:{{{stream_id}}}:upload_bytes"


def next_upload(stream_id: str) -> str:
    """Key of an integer: the number that the next uploaded frame gets."""
    return f"nw:{{{stream_id}}}:next"


def snapshot(stream_id: str) -> str:
    """Key of bytes: the camera's detector state, for the next owner."""
    return f"nw:{{{stream_id}}}:snapshot"


def status(stream_id: str) -> str:
    """Key of a StreamStatus as JSON, with a time to live."""
    return f"nw:{{{stream_id}}}:status"


def preview(stream_id: str) -> str:
    """Key of a hash with a time to live: `jpeg`, `heat`, `frame`, `captured_at`.

    `heat` is a PNG, 8 bit grey, 255 being strong.
    """
    return f"nw:{{{stream_id}}}:preview"


def shot_request(stream_id: str) -> str:
    """ShotRequest as JSON, with a time to live: the events whose pictures are requested."""
    return f"nw:{{{stream_id}}}:wanted"


def shots(stream_id: str) -> str:
    """Key of a bounded Redis stream of Shot with `jpeg` and `heat`, with a time to live."""
    return f"nw:{{{stream_id}}}:shots"


def list_stream_keys(stream_id: str) -> list[str]:
    """List all keys of one camera, to delete with it."""
    parts = (
        lease,
        epoch,
        last_frame,
        scores,
        backlog,
        notes,
        registration,
        uploads,
        upload_bytes,
        next_upload,
        snapshot,
        status,
        preview,
        shot_request,
        shots,
    )
    return [part(stream_id) for part in parts]
