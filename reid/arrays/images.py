"""Decode, encode, resize and square images. Arrays are (H, W, 3) uint8 **RGB** everywhere."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
import simplejpeg

MAX_PIXELS = 100_000_000  # larger images are refused before they are decoded

JPEG_MAGIC = b"\xff\xd8\xff"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


class BadImage(ValueError):
    """An image that cannot be used; its text is the reason that a reject carries."""


def kind_of(data: bytes) -> str:
    """'jpeg' or 'png' by the first bytes, whatever the file's name says."""
    if data.startswith(JPEG_MAGIC):
        return "jpeg"
    if data.startswith(PNG_MAGIC):
        return "png"
    raise BadImage("empty file" if not data else "neither JPEG nor PNG")


def size_of(data: bytes) -> tuple[int, int]:
    """(height, width) in pixels from the header alone; refuses more than `MAX_PIXELS`."""
    if kind_of(data) == "png":
        if len(data) < 24:
            raise BadImage("truncated PNG header")
        width, height = struct.unpack(">II", data[16:24])
    else:
        try:
            found = simplejpeg.decode_jpeg_header(data, strict=False)
            height, width = int(found[0]), int(found[1])
        except (ValueError, KeyError) as error:  # KeyError: no frame header was found
            raise BadImage(f"broken JPEG header: {error}") from None
    if height * width == 0 or height * width > MAX_PIXELS:
        raise BadImage(f"{width} x {height} pixels; at most {MAX_PIXELS:,} are read")
    return height, width


def decode(data: bytes) -> np.ndarray:
    """JPEG or PNG bytes to (H, W, 3) uint8 RGB. Raises `BadImage` with the reason."""
    size_of(data)
    if kind_of(data) == "jpeg":
        try:
            return simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True)
        except ValueError as error:
            raise BadImage(f"broken JPEG: {error}") from None
    return cv2.cvtColor(decode_png(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def decode_depth(data: bytes) -> np.ndarray:
    """16-bit PNG bytes to (H, W) uint16 millimetres, 0 = no reading."""
    size_of(data)
    depth = decode_png(data, cv2.IMREAD_UNCHANGED)
    if depth.dtype != np.uint16 or depth.ndim != 2:
        raise BadImage(f"depth must be one 16-bit channel, not {depth.dtype} {depth.shape}")
    return depth


def decode_gray(data: bytes) -> np.ndarray:
    """PNG bytes to (H, W) uint8 gray levels."""
    size_of(data)
    return decode_png(data, cv2.IMREAD_GRAYSCALE)


def decode_mask(data: bytes) -> np.ndarray:
    """PNG bytes to an (H, W) bool mask; gray levels above 127 are the person."""
    return decode_gray(data) > 127


class Decoded(NamedTuple):
    """A batch ready for a network."""

    images: list[np.ndarray | None]  # (H, W, 3) uint8 RGB
    reasons: list[str | None]  # why an image is None


def decode_all(encoded: Iterable[Mapping[str, Any] | None]) -> Decoded:
    """Decode the values of an image column; one that cannot be decoded has a reason instead."""
    images: list[np.ndarray | None] = []
    reasons: list[str | None] = []
    for image in encoded:
        try:
            images.append(decode(image["bytes"] or b"") if image else None)
            reasons.append(None if image else "no image")
        except BadImage as error:
            images.append(None)
            reasons.append(str(error))
    return Decoded(images, reasons)


def decode_png(data: bytes, flags: int) -> np.ndarray:
    if not data.rstrip(b"\0").endswith(b"IEND\xaeB`\x82"):
        raise BadImage("truncated PNG")  # OpenCV would fill the missing rows with black
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise BadImage("broken PNG")
    return image


def encode_jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    """(H, W, 3) uint8 RGB to JPEG bytes, 4:2:0."""
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(image), quality, colorspace="RGB", colorsubsampling="420"
    )


def encode_png(array: np.ndarray) -> bytes:
    """RGB (H, W, 3) uint8, gray (H, W) uint8, depth (H, W) uint16 or a bool mask to PNG bytes.

    A bool mask becomes a 1-bit PNG.
    """
    flags: list[int] = []
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
        # naming a level leaves OpenCV's run-length strategy: a third of the bytes in the same time
        flags = [cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 3]
    if array.ndim == 3:
        array = cv2.cvtColor(array, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", array, flags)[1].tobytes()


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize to (height, width); area averaging where it shrinks, bilinear where it grows."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)


def crop(image: np.ndarray, box: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cut `box` = (x1, y1, x2, y2) pixels out and resize it; the edge repeats outside the image.

    A box that would be empty after rounding is one pixel wide or high.
    """
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
    rows = np.clip(np.arange(y1, y2), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(x1, x2), 0, image.shape[1] - 1)
    return resize(image[rows[:, None], columns], height, width)
