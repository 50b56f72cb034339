"""Decode, encode, resize and square images. Arrays are (H, W, 3) uint8 **RGB** everywhere."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
import simplejpeg

from reid.arrays.orientation import TIFF, UPRIGHT, orientation_of, turned

MAX_PIXELS = 100_000_000  # larger images are refused before they are decoded

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")  # of files that are read

JPEG_MAGIC = b"\xff\xd8\xff"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
GRAY_16 = b"\x10\0"  # bits and colour type in a PNG's header
NO_READING = 65_535  # of a depth sensor, as 0: 65.5 m is farther than any of them sees


class BadImage(ValueError):
    """An image that cannot be used; its text is the reason that a reject carries."""


def kind_of(data: bytes) -> str:
    """'jpeg' or 'png' by the first bytes, whatever the file's name says."""
    if data.startswith(JPEG_MAGIC):
        return "jpeg"
    if data.startswith(PNG_MAGIC):
        return "png"
    raise BadImage("empty file" if not data else "neither JPEG nor PNG")


def storable(data: bytes, *, depth: bool = False) -> tuple[bytes, str]:
    """The bytes that a shard keeps of an image, and their change: 'turned', 'converted' or ''.

    JPEG and PNG stay as they are, unless EXIF or XMP says to turn them. BMP, WebP and TIFF are
    converted to PNG, 8 bits a channel, without loss, and so is a PNG of 16-bit gray but for
    `depth`: Pillow cuts its levels off at 255. So every reader sees the same pixels. What is
    turned counts as turned, whatever its kind.
    Raises `BadImage` with the reason.
    """
    upright = orientation_of(data) == UPRIGHT
    change = "converted" if upright else "turned"
    if data.startswith((JPEG_MAGIC, PNG_MAGIC)):
        cut = not depth and data.startswith(PNG_MAGIC) and data[24:26] == GRAY_16
        if upright and not cut:
            return data, ""
        image = decode_upright(data)
        image = (image >> 8).astype(np.uint8) if cut else image
        return encode_png(_as_rgb(image)), change
    if not _is_other(data):
        return data, ""
    return encode_png(_as_rgb(_decode_other(data, cv2.IMREAD_COLOR))), change


def _is_other(data: bytes) -> bool:
    """Whether the bytes are BMP, WebP or TIFF."""
    webp = data.startswith(b"RIFF") and data[8:12] == b"WEBP"
    return webp or data.startswith((b"BM", *TIFF))


def _decode_other(data: bytes, flags: int) -> np.ndarray:
    """A BMP, WebP or TIFF by OpenCV's flags, turned upright. Raises `BadImage` with the reason."""
    flags |= cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise BadImage("broken or cut off, or of a kind that OpenCV does not read")
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise BadImage(f"{image.shape[1]} x {image.shape[0]} pixels; at most {MAX_PIXELS:,}")
    return (
        image if data.startswith(TIFF) else turned(image, orientation_of(data))
    )  # TIFF: by OpenCV


def decode_upright(data: bytes) -> np.ndarray:
    """An image turned upright: (H, W), or (H, W, 3 or 4) of B, G, R and alpha.

    A PNG or TIFF keeps its bits. Raises `BadImage` with the reason.
    """
    if _is_other(data):
        return _decode_other(data, cv2.IMREAD_UNCHANGED)
    size_of(data)
    if kind_of(data) == "jpeg":
        image = cv2.cvtColor(decode(data), cv2.COLOR_RGB2BGR)
    else:
        image = decode_png(data, cv2.IMREAD_UNCHANGED)
    return turned(image, orientation_of(data))


def _as_rgb(image: np.ndarray) -> np.ndarray:
    """Channels B, G, R and maybe A to R, G, B and A; gray as it is."""
    if image.ndim == 2:
        return image
    order = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(image, order)


def size_of(data: bytes) -> tuple[int, int]:
    """(height, width) in pixels from the header alone; refuses more than `MAX_PIXELS`."""
    if kind_of(data) == "png":
        if len(data) < 24:
            raise BadImage("truncated PNG header")
        width, height = struct.unpack(">II", data[16:24])
    else:
        try:
            header = simplejpeg.decode_jpeg_header(data, strict=False)
            height, width = int(header[0]), int(header[1])
        except (ValueError, KeyError) as error:  # KeyError: it has no frame header
            raise BadImage(f"broken JPEG header: {error}") from None
    if height * width == 0 or height * width > MAX_PIXELS:
        raise BadImage(f"{width} x {height} pixels; at most {MAX_PIXELS:,} are read")
    return height, width


def decode(data: bytes) -> np.ndarray:
    """JPEG or PNG bytes to (H, W, 3) uint8 RGB, not turned by any orientation beside the pixels.

    Raises `BadImage` with the reason.
    """
    size_of(data)
    if kind_of(data) == "jpeg":
        try:
            return simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True)
        except ValueError as error:
            raise BadImage(f"broken JPEG: {error}") from None
    return cv2.cvtColor(decode_png(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def decode_depth(data: bytes) -> np.ndarray:
    """16-bit PNG bytes to (H, W) uint16 millimetres; 0 = no reading, and 65535 becomes 0."""
    size_of(data)
    depth = decode_png(data, cv2.IMREAD_UNCHANGED)
    if depth.dtype != np.uint16 or depth.ndim != 2:
        raise BadImage(f"depth must be one 16-bit channel, not {depth.dtype} {depth.shape}")
    depth[depth == NO_READING] = 0
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
    """A PNG by OpenCV's flags, not turned. Raises `BadImage`, also where its end is missing."""
    if not data.rstrip(b"\0").endswith(PNG_END[4:]) and not _has_end(data):
        raise BadImage("truncated PNG")  # OpenCV would fill the missing rows with black
    flags |= cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise BadImage("broken PNG")
    return image


def _has_end(data: bytes) -> bool:
    """Whether a PNG's last chunk is there, whatever follows it."""
    at = len(PNG_MAGIC)
    while at + 12 <= len(data):
        if data[at : at + 12] == PNG_END:
            return True
        at += 12 + struct.unpack(">I", data[at : at + 4])[0]
    return False


def encode_jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    """(H, W, 3) uint8 RGB to JPEG bytes, 4:2:0."""
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(image), quality, colorspace="RGB", colorsubsampling="420"
    )


def encode_png(array: np.ndarray) -> bytes:
    """RGB (H, W, 3) or with alpha (H, W, 4), gray (H, W), or an (H, W) bool mask to PNG bytes.

    uint8, or uint16 such as depth. A bool mask becomes a 1-bit PNG.
    """
    flags: list[int] = []
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
        # naming a level leaves OpenCV's run-length strategy: a third of the bytes in the same time
        flags = [cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 3]
    if array.ndim == 3:
        order = cv2.COLOR_RGBA2BGRA if array.shape[2] == 4 else cv2.COLOR_RGB2BGR
        array = cv2.cvtColor(array, order)
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
