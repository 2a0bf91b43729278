"""Checks uploaded pictures: their kind and size, and that they can be decoded."""

from __future__ import annotations

import cv2
import numpy as np

from model.footage.picture_sizes import read_declared_size
from service.api.error_answers import refuse_field
from service.settings import Settings

KINDS = "a JPEG, PNG, WebP or BMP picture"


def check_picture(field: str, data: bytes, settings: Settings) -> None:
    """Raises: RequestRefused: 413 when it is too large, 422 when it is no picture or damaged."""
    if len(data) > settings.max_image_bytes:
        raise refuse_field(413, field, f"is larger than {settings.max_image_bytes} bytes")
    size = read_declared_size(data)
    if size is None:
        raise refuse_field(422, field, f"is not {KINDS}")
    width, height = size
    if width * height > settings.max_image_pixels:
        reason = f"is {width}x{height}, more than {settings.max_image_pixels} pixels"
        raise refuse_field(413, field, reason)
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
    except cv2.error:
        picture = None
    if picture is None or picture.size == 0:
        raise refuse_field(422, field, f"says that it is {KINDS}, but can't be decoded")
