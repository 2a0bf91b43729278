"""Declares every Redis key.

Keys of one camera share a hash tag, so that one Lua script may touch them all on a cluster too.
"""

from __future__ import annotations

from collections.abc import Callable

STREAMS = "nw:streams"
"""Hash of StreamConfig (JSON) by stream id; only the front end writes it."""

WORKERS = "nw:workers"
"""Hash of WorkerStatus (JSON) by worker id; a worker writes its own field about every second."""

LEARNINGS = "nw:learnings"
"""Hash of LearningJob (JSON) by its id; only the front end writes it."""

LEARNING_STATUSES = "nw:learning_statuses"
"""Hash of LearningStatus (JSON) by the learning's id; its learner writes its field."""

LEARNERS = "nw:learners"
"""Hash of the time it was last seen (seconds since 1970) by learner id; a learner writes its own
field about every second."""


def learner(learning_id: str) -> str:
    """String with a time to live: the learner that works on a learning."""
    return f"nw:learner:{learning_id}"


RECORDER = "nw:recorder"
"""String with a time to live: the front end that records now."""

_CAMERA_KEYS: list[Callable[[str], str]] = []


def _declare(name: str) -> Callable[[str], str]:
    """Declare a key of each camera; it takes the stream's id."""

    def make_key(stream_id: str) -> str:
        return f"nw:{{{stream_id}}}:{name}"

    _CAMERA_KEYS.append(make_key)
    return make_key


lease = _declare("lease")
"""String with a time to live, "worker:epoch": the camera's owner."""
epoch = _declare("epoch")
"""Integer that only rises: the fencing epoch of the newest lease."""
last_frame = _declare("last")
"""Integer: the number of the newest frame whose score was published."""
scores = _declare("scores")
"""Redis stream of FrameScores, several an entry; the recorder deletes stored ones."""
backlog = _declare("backlog")
"""Integer: the number of scores that wait in `scores`."""
notes = _declare("notes")
"""Bounded Redis stream of StreamNote, on its way to the stream's log."""
registration = _declare("known")
"""String with a time to live that exists while the stream is registered. `STREAMS` says the same,
but hasn't the camera's hash tag."""
uploads = _declare("uploads")
"""Redis stream of UploadedFrame; an entry is deleted when its score is published."""
upload_bytes = _declare("upload_bytes")
"""Integer: the bytes of pictures that wait in `uploads`."""
next_upload = _declare("next")
"""Integer: the number that the next uploaded frame gets."""
snapshot = _declare("snapshot")
"""Bytes: the camera's detector state, for the next owner."""
status = _declare("status")
"""StreamStatus as JSON, with a time to live."""
preview = _declare("preview")
"""Hash with a time to live: `jpeg`, `heat`, `frame`, `captured_at`. `heat` is a PNG, 8 bit grey,
255 being strong."""
shot_request = _declare("wanted")
"""ShotRequest as JSON, with a time to live: the events whose pictures are requested."""
shots = _declare("shots")
"""Bounded Redis stream of Shot with `jpeg` and `heat`, with a time to live."""


def list_stream_keys(stream_id: str) -> list[str]:
    """List all keys of one camera, to delete with it."""
    return [make_key(stream_id) for make_key in _CAMERA_KEYS]
