"""Bundle documents of version 1, whose score was one flat record, in the form of version 2.

Values go over as they are: whatever is wrong with one is found where version 2 is checked.
"""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from model.config import ErrorKind, ErrorStep, NormalisationKind

POOLING = ("peak", "cell", "stride", "blur_cells", "top_cells")
_STEP = TypeAdapter(ErrorStep)


def upgraded(document: dict[str, object]) -> dict[str, object]:
    """The document in version 2; unchanged where it holds no score of version 1."""
    score = document.get("score")
    if document.get("version") != 1 or not isinstance(score, dict) or "pooling" not in score:
        return document
    pooling = {name: score[name] for name in POOLING if name in score}
    form = ErrorKind.PSNR if score["pooling"] == "psnr" else ErrorKind.ABSOLUTE
    return {
        **document,
        "version": 2,
        "score": {
            "name": score.get("name"),
            "error": {"form": form, **pooling},
            "normalisation": _normalisation(score),
            "appearance_weight": score.get("appearance_weight"),
            "smoothing": score.get("smoothing"),
        },
        "calibration": _calibration(document.get("calibration"), pooling),
    }


def _normalisation(score: dict[str, object]) -> dict[str, object]:
    plain = {"kind": NormalisationKind.MIN_MAX, "headroom": score.get("headroom")}
    if score.get("relax_frames") == 0:
        return plain
    kind = NormalisationKind.DECAYED
    return {**plain, "kind": kind, "relax_frames": score.get("relax_frames")}


def _calibration(calibration: object, pooling: dict[str, object]) -> object:
    normal = calibration.get("normal") if isinstance(calibration, dict) else None
    if not isinstance(calibration, dict) or not isinstance(normal, dict):
        return calibration
    try:
        pooled = _STEP.validate_python({"form": ErrorKind.ABSOLUTE, **pooling})
        psnr = _STEP.validate_python({"form": ErrorKind.PSNR, **pooling})
    except ValidationError:
        return calibration  # the score itself is refused, then
    errors = {psnr.key: _negated(normal.get("psnr")), pooled.key: normal.get("pooled")}
    return {**calibration, "normal": {"distance": normal.get("distance"), "errors": errors}}


def _negated(span: object) -> object:
    """The range of -P, of the range of P."""
    if not isinstance(span, dict):
        return span
    low, high = span.get("low"), span.get("high")
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return span
    return {"low": -high, "high": -low}
