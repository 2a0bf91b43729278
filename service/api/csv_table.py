"""Writes tables as CSV, in parts of bounded size."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

PART_BYTES = 64 * 1024


def write_csv(names: Sequence[str], rows: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """Yield a line of names, and a line for each row, several lines at a time."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(row)
        if buffer.tell() > PART_BYTES:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()
