"""Reads frame labels of test footage, as data sets store them."""

from __future__ import annotations

import csv
import re
import tokenize
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LABELS = "labels.csv"

FrameLabels = NDArray[np.bool_]

_SPANS = re.compile(r"gt_frame\s*=\s*\[([^\]]*)\]")
_SPAN = re.compile(r"(\d+)(?::(\d+))?")

_UNREADABLE = (
    OSError, ValueError, TypeError, EOFError, SyntaxError, tokenize.TokenError, MemoryError,
    OverflowError, RecursionError, IndexError, KeyError, AttributeError,
)  # fmt: skip
"""NumPy raises these on damaged files: their heads are Python literals, which it evaluates."""


class LabelError(ValueError):
    """The labels can't be read, or don't fit the footage."""


def read_labels(path: Path) -> Mapping[str, FrameLabels]:
    """Read labels by clip from a CSV file: `clip,frame,abnormal`, frames from 0 in order, 0 or 1.

    Raises: LabelError: it can't be read; names the line.
    """
    clips: dict[str, list[bool]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                where = f"{path}, line {line}"
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


def read_spans(path: Path) -> list[list[tuple[int, int]]]:
    """Read each clip's abnormal spans from UCSD's `UCSDped1.m`: first frame, one after the last.

    Its lines, one a clip in order, are `TestVideoFile{end+1}.gt_frame = [60:152];`, counted from 1.
    The result is counted from 0.
    Raises: LabelError: it can't be read, or a span ends before it begins.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise LabelError(f"cannot read labels {path}: {error}") from None
    code = "\n".join(line.partition("%")[0] for line in lines)
    clips: list[list[tuple[int, int]]] = []
    for match in _SPANS.finditer(code):
        spans = []
        for part in re.split(r"[,;\s]+", match[1].strip()):
            span = _SPAN.fullmatch(part)
            first, last = (int(span[1]), int(span[2] or span[1])) if span else (0, 0)
            if not 1 <= first <= last:
                raise LabelError(f"{path}: clip {len(clips) + 1} has a span {part!r}")
            spans.append((first - 1, last))
        clips.append(spans)
    return clips


def read_array(path: Path) -> NDArray[np.number | np.bool_]:
    """Read a NumPy file of numbers or flags; one with pickled objects is refused, not run.

    Raises: LabelError: it can't be read, or holds something else.
    """
    try:
        with path.open("rb") as file:
            values = np.lib.format.read_array(file, allow_pickle=False)
    except _UNREADABLE as error:
        reason = str(error) or type(error).__name__
        raise LabelError(f"cannot read labels {path}: {reason}") from None
    if values.dtype.kind not in "biuf":
        raise LabelError(f"{path} must hold one array of numbers")
    return values


def read_flags(path: Path) -> FrameLabels:
    """Read 0 or 1 for each frame from a NumPy file, (T,) or (1, T).

    Raises: LabelError: it can't be read, or holds something else.
    """
    values = read_array(path)
    flat = values.reshape(-1)
    if values.size != max(values.shape, default=0) or not np.isin(flat, (0, 1)).all():
        raise LabelError(f"{path} must hold 0 or 1 for each frame, got shape {values.shape}")
    return np.asarray(flat, np.bool_)
