"""Every Redis key, in one place.

Keys of one camera share a hash tag, so that one Lua script may touch them all on a cluster too.
"""

from __future__ import annotations

STREAMS = "nw:streams"
"""Hash, id -> StreamConfig as JSON: what there is to watch. Written by the front end only."""

WORKERS = "nw:workers"
"""Hash, worker id -> WorkerStatus as JSON; a worker writes its own field every second or so."""

RECORDER = "nw:recorder"
"""String with a time to live: which front end records now."""


def lease(stream_id: str) -> str:
    """String with a time to live, "worker:epoch": who owns the camera."""
    return f"nw:{{{stream_id}}}:lease"


def epoch(stream_id: str) -> str:
    """Integer that only rises: the fencing epoch of the newest lease."""
    return f"nw:{{{stream_id}}}:epoch"


def last_frame(stream_id: str) -> str:
    """Integer: number of the newest frame whose score was published."""
    return f"nw:{{{stream_id}}}:last"


def scores(stream_id: str) -> str:
    """Redis stream of FrameScore, on its way to the recorder, which deletes what it has stored."""
    return f"nw:{{{stream_id}}}:scores"


def notes(stream_id: str) -> str:
    """Redis stream of StreamNote, on its way to the stream's log in the database; bounded."""
    return f"nw:{{{stream_id}}}:notes"


def uploads(stream_id: str) -> str:
    """Redis stream of UploadedFrame; an entry goes when its score is published."""
    return f"nw:{{{stream_id}}}:uploads"


def known(stream_id: str) -> str:
    """String with a time to live, there while the stream is registered: what `STREAMS` says, under
    the camera's own hash tag."""
    return f"nw:{{{stream_id}}}:known"


def upload_bytes(stream_id: str) -> str:
    """Integer: bytes of pictures that wait in `uploads`."""
    return f"nw:{{{stream_id}}}:upload_bytes"


def next_upload(stream_id: str) -> str:
    """Integer: the number that the next uploaded frame gets."""
    return f"nw:{{{stream_id}}}:next"


def snapshot(stream_id: str) -> str:
    """Bytes: the camera's detector state, for the next owner."""
    return f"nw:{{{stream_id}}}:snapshot"


def status(stream_id: str) -> str:
    """StreamStatus as JSON, with a time to live."""
    return f"nw:{{{stream_id}}}:status"


def preview(stream_id: str) -> str:
    """Hash with a time to live: `jpeg`, `heat`, `frame`, `captured_at`.

    `heat` is a PNG, 8 bit grey, 255 being strong.
    """
    return f"nw:{{{stream_id}}}:preview"


def wanted(stream_id: str) -> str:
    """WantedFootage as JSON, with a time to live: of which events the front end wants pictures."""
    return f"nw:{{{stream_id}}}:wanted"


def shots(stream_id: str) -> str:
    """Redis stream of Shot with `jpeg` and `heat`, on its way to the front end; bounded, and with a
    time to live."""
    return f"nw:{{{stream_id}}}:shots"


def of_stream(stream_id: str) -> list[str]:
    """All keys of one camera, to delete with it."""
    parts = (
        lease,
        epoch,
        last_frame,
        scores,
        notes,
        known,
        uploads,
        upload_bytes,
        next_upload,
        snapshot,
        status,
        preview,
        wanted,
        shots,
    )
    return [part(stream_id) for part in parts]
