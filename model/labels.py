"""Frame labels of test footage: which frames are abnormal."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.footage import Source, discover

LABELS = "labels.csv"


class LabelError(ValueError):
    """Labels that can't be read, or that don't fit the footage."""


@dataclass(frozen=True, slots=True)
class LabelledClip:
    """A test clip and, for each of its frames, whether it is abnormal."""

    source: Source
    abnormal: NDArray[np.bool_]


def read_labels(path: Path) -> Mapping[str, NDArray[np.bool_]]:
    """Labels from a CSV file with the columns `clip`, `frame` (from 0) and `abnormal` (0 or 1).

    Raises: LabelError: a column, a frame or a value is missing or wrong; names the line.
    """
    clips: dict[str, list[bool]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                try:
                    clip, frame, abnormal = row["clip"], int(row["frame"]), int(row["abnormal"])
                except (KeyError, TypeError, ValueError):
                    raise LabelError(f"{where}: needs clip, frame and abnormal") from None
                labels = clips.setdefault(clip, [])
                if frame != len(labels) or abnormal not in (0, 1):
                    raise LabelError(
                        f"{where}: expected frame {len(labels)} of clip {clip}, 0 or 1"
                    )
                labels.append(bool(abnormal))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"cannot read labels {path}: {error}") from None
    return {clip: np.array(labels, dtype=np.bool_) for clip, labels in clips.items()}


def labelled_clips(folder: Path) -> list[LabelledClip]:
    """The test clips below a folder: `frames/NN/*.jpg` (or `NN/…`, or videos) beside `labels.csv`.

    A folder that holds `testing/` is taken as that one.
    Raises: LabelError, FootageError: something is missing.
    """
    if not (folder / LABELS).is_file() and (folder / "testing" / LABELS).is_file():
        folder = folder / "testing"
    labels = read_labels(folder / LABELS)
    clips: list[LabelledClip] = []
    for source in discover([str(folder)]):
        name = source.name if source.name in labels else Path(source.name).stem
        if name not in labels:
            raise LabelError(f"{folder / LABELS} says nothing of clip {source.name}")
        clips.append(LabelledClip(source, labels[name]))
    return clips
