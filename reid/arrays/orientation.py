"""The orientation that a camera wrote beside an image, and images turned by it.

Some readers turn an image by its EXIF orientation and some do not, so that one file has two sizes.
This reads the EXIF of JPEG (APP1), PNG (eXIf) and WebP (EXIF), and where that says nothing, XMP's
tiff:Orientation, as Pillow does. A TIFF has the tag itself, and its readers turn it.

Source  CIPA DC-008 (EXIF 2.3), tag 0x0112; the PNG specification, third edition, chunk eXIf
"""

from __future__ import annotations

import re
import struct

import numpy as np

TAG = 0x0112
UPRIGHT = 1
TIFF = (b"II*\0", b"MM\0*")  # the first bytes of a file, little and big end first
SEGMENT = struct.Struct(">BBH").unpack_from  # 0xFF, its marker, its length
EXIF = b"Exif\0\0"
XMP = re.compile(rb"tiff:Orientation(?:=\"|>)([1-8])[\"<]")


def orientation_of(data: bytes) -> int:
    """1 to 8 as EXIF counts; 1, upright, also where the orientation is missing or broken."""
    if data.startswith(b"\xff\xd8"):
        segments = _app1(data)  # EXIF and XMP both
        exif = next((s[len(EXIF) :] for s in segments if s.startswith(EXIF)), b"")
        notes = b"".join(segments)
    elif data.startswith(b"\x89PNG"):
        notes, exif = data, _chunk(data, 8, ">I", 4, b"eXIf", 12)
    elif data.startswith(b"RIFF"):
        notes, exif = data, _chunk(data, 12, "<I", 0, b"EXIF", 8).removeprefix(EXIF)
    elif data.startswith(TIFF):
        notes, exif = b"", data
    else:
        return UPRIGHT
    orientation = _of_exif(exif)
    if not orientation:
        xmp = XMP.search(notes) if b"tiff:Orientation" in notes else None
        orientation = int(xmp[1]) if xmp else UPRIGHT
    return orientation if UPRIGHT <= orientation <= 8 else UPRIGHT


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """An (H, W) or (H, W, C) array turned upright; orientations from 5 on swap its sides."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    down = {3, 4, 7, 8}  # from the last row up, after the exchange
    right = {2, 3, 6, 7}  # from the last column on
    image = image[::-1] if orientation in down else image
    image = image[:, ::-1] if orientation in right else image
    return np.ascontiguousarray(image)


def _chunk(data: bytes, at: int, size: str, name_at: int, name: bytes, around: int) -> bytes:
    """What a named chunk of a PNG or a RIFF file holds."""
    if name not in data:
        return b""
    while at + 8 <= len(data):
        length = struct.unpack(size, data[at + 4 - name_at : at + 8 - name_at])[0]
        if data[at + name_at : at + name_at + 4] == name:
            return data[at + 8 : at + 8 + length]
        at += length + around + (length % 2 if around == 8 else 0)
    return b""


def _app1(data: bytes) -> list[bytes]:
    """What the APP1 segments of a JPEG hold. They lie ahead of its pixels: those are not read."""
    segments: list[bytes] = []
    at, end = 2, len(data) - 4
    while at <= end:
        sign, marker, length = SEGMENT(data, at)
        if sign != 0xFF or marker in (0xDA, 0xD9):  # pixels, or the end
            break
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0xE1:
            segments.append(data[at + 4 : at + 2 + length])
        at += 2 + length
    return segments


def _of_exif(tags: bytes) -> int:
    """The orientation in a TIFF structure; 0 where it has none."""
    order = {b"II": "<", b"MM": ">"}.get(tags[:2])
    try:
        if order is None:
            return 0
        at = struct.unpack_from(f"{order}I", tags, 4)[0]
        for entry in range(struct.unpack_from(f"{order}H", tags, at)[0]):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tags, at + 2 + 12 * entry)
            if tag == TAG:
                return value if kind == 3 else 0  # a SHORT
    except struct.error:
        return 0
    return 0
