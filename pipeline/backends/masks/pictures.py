"""What of a mask's picture is the person.

A picture is read as one level a pixel, 8 or 16 bits: a gray level, a PNG palette's index, or, where
it has transparent pixels, how opaque it is. Then

    one level, or 0 and another    the other is the person: 0 and 255, 0 and 1, a palette's index
    0, 1 and 255 (65535)           1 is the person, 255 the rim of nobody, as in PASCAL VOC; of a
                                   palette's indexes any other number does for 1
    many gray levels               soft edges: above the middle, 127 or 32767, is the person
    colours                        black and one other: the other is the person
    a JPEG                         above the middle is the person

What is none of these, such as the numbers of several people or classes, is refused: which of them
is the person is not known. Gray levels count as soft edges where one that is below the highest is
at least `NUMBERS`.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from reid.arrays import images
from reid.arrays.images import BadImage

NUMBERS = 33  # lower levels may be numbers of people or classes
PALETTE = b"\3"  # PNG's colour type
SHOWN = 6  # levels in an error


def person_mask(data: bytes) -> np.ndarray:
    """The (H, W) bool mask of the person. Raises `BadImage` with what is wrong."""
    indexed = data.startswith(images.PNG_MAGIC) and data[25:26] == PALETTE
    picture = images.decode_upright(_as_gray(data) if indexed else data)
    if indexed:
        depth = data[24]
        return person_pixels(picture // (255 // (2**depth - 1)), indexed=True)
    if picture.ndim == 3 and picture.shape[2] == 4:
        alpha = picture[..., 3]
        if (alpha < np.iinfo(alpha.dtype).max).any():
            return person_pixels(alpha)
        picture = picture[..., :3]
    if picture.ndim == 3 and (picture == picture[..., :1]).all():
        picture = picture[..., 0]
    if picture.ndim == 3:
        return _colours(picture)
    return _of_jpeg(picture) if data.startswith(images.JPEG_MAGIC) else person_pixels(picture)


def person_pixels(levels: np.ndarray, *, indexed: bool = False) -> np.ndarray:
    """(H, W) levels of a mask's picture, uint8 or uint16, to bool, by the rule above."""
    if levels.dtype.kind != "u":
        raise BadImage(f"levels of {levels.dtype}; 8 or 16 bits a level are read")
    present = np.unique(levels)
    top = int(np.iinfo(levels.dtype).max)
    others = present[present > 0]
    if len(present) == 1 or (len(present) == 2 and len(others) == 1):
        return levels > 0
    inside = others[(others != top) & (others != 255)]
    if len(inside) == 1 and len(others) == 2 and present[0] == 0 and (indexed or inside[0] == 1):
        return levels == inside[0]
    between = (present >= NUMBERS) & (present < top)
    if indexed or not between.any() or (top > 255 and len(present) <= NUMBERS):
        shown = ", ".join(map(str, present[:SHOWN].tolist())) + (", ..." * (len(present) > SHOWN))
        raise BadImage(f"levels {shown}: which is the person is not known; two levels are read")
    return levels > top // 2


def _of_jpeg(levels: np.ndarray) -> np.ndarray:
    """Above the middle: a JPEG moves levels by a few, so that numbers are lost in it."""
    if levels.max() <= 127:
        raise BadImage(f"a JPEG of levels up to {levels.max()} keeps no numbers; save it as PNG")
    return levels > 127


def _colours(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) of black and one other colour to bool."""
    coloured = (picture > 0).any(-1)
    different = np.unique(picture[coloured], axis=0)
    if len(different) > 1:
        raise BadImage(
            f"{len(different)} colours: which is the person is not known; black and one other "
            "are read"
        )
    return np.asarray(coloured)


def _as_gray(data: bytes) -> bytes:
    """A palette's PNG with its indexes as gray levels."""
    head = data[12:25] + b"\0" + data[26:29]  # IHDR with another colour type
    chunks = [images.PNG_MAGIC, data[8:12], head, struct.pack(">I", zlib.crc32(head))]
    at = 33
    while at + 8 <= len(data):
        end = at + 12 + struct.unpack(">I", data[at : at + 4])[0]
        if data[at + 4 : at + 8] not in (b"PLTE", b"tRNS", b"bKGD", b"hIST", b"sPLT", b"sBIT"):
            chunks.append(data[at:end])
        at = end
    return b"".join(chunks)
