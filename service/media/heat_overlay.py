"""Lays a heat map over a picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

JPEG_QUALITY = 85
HEAT_STRENGTH = 0.6
"""The opacity of the strongest heat."""


def overlay_heat(jpeg: bytes, heat: bytes) -> bytes:
    """Return the JPEG with a coarse map (PNG, 8 bit grey) over it.

    Where one of the two can't be decoded, the JPEG comes back as it is.
    """
    picture = _decode(jpeg, cv2.IMREAD_COLOR)
    grey = _decode(heat, cv2.IMREAD_GRAYSCALE)
    if picture is None or grey is None:
        return jpeg
    size = (picture.shape[1], picture.shape[0])
    grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    colours = cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO).astype(np.float32)
    share = (grey.astype(np.float32) * (HEAT_STRENGTH / 255.0))[:, :, None]
    blended = picture * (1.0 - share) + colours * share
    done, made = cv2.imencode(
        ".jpg", blended.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    return made.tobytes() if done else jpeg


def _decode(data: bytes, flags: int) -> NDArray[np.uint8] | None:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    return None if picture is None else np.asarray(picture, np.uint8)
