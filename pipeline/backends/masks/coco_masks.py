"""COCO's segmentations as masks: polygons, run lengths, and run lengths packed into a string.

Source  the COCO annotation format, and pycocotools' common/maskApi.c for the packed string

Run lengths are decoded here: pycocotools trusts them, and gives whatever lies in memory where they
end too early. Polygons are drawn by it, their corners brought near the image first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.backends.checkpoints import library
from reid.arrays.images import MAX_PIXELS, BadImage


def decode_segmentation(segmentation: Any, height: int, width: int) -> np.ndarray:
    """A segmentation of an image of height x width to an (H, W) bool mask.

    Raises `BadImage` with what is wrong. Run lengths have a size of their own, which is taken.
    """
    try:
        if isinstance(segmentation, dict):
            height, width = (int(side) for side in segmentation["size"])
            counts = segmentation["counts"]
            runs = unpack(counts) if isinstance(counts, str) else counts
            return _from_runs(np.asarray(runs, np.int64), height, width)
        return _from_polygons(segmentation, height, width)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise BadImage(f"broken segmentation: {error!r}") from None


def unpack(text: str) -> list[int]:
    """Run lengths from COCO's string: 5 bits a character from 48 on, lowest first, bit 32 = more.

    The highest bit of a number is its sign; from the fourth on a number is the difference to the
    last but one.
    """
    runs: list[int] = []
    value = shift = 0
    for code in text.encode("ascii"):
        bits = code - 48
        if not 0 <= bits < 64:
            raise ValueError(f"character {code} in run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("run lengths end in a number")
    return runs


def _from_runs(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    """Alternating lengths of background and person, down the columns from the left."""
    if not 0 < height * width <= MAX_PIXELS or height < 0:
        raise ValueError(f"{width} x {height} pixels")
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(f"runs do not fill {width} x {height} pixels")
    person = np.arange(len(runs)) % 2 == 1
    return np.repeat(person, runs).reshape(width, height).T


def _from_polygons(polygons: Any, height: int, width: int) -> np.ndarray:
    if not 0 < height * width <= MAX_PIXELS or height < 0:
        raise ValueError(f"{width} x {height} pixels")
    cleaned = []
    for polygon in polygons:
        corners = np.asarray(polygon, np.float64).reshape(-1, 2)
        if len(corners) < 3 or not np.isfinite(corners).all():
            raise ValueError("a polygon needs three corners or more, all of them numbers")
        cleaned.append(corners.clip((-width, -height), (2 * width, 2 * height)).ravel().tolist())
    coco = library("pycocotools.mask", "`pip install pycocotools`")
    if not cleaned:
        return np.zeros((height, width), bool)
    merged = coco.merge(coco.frPyObjects(cleaned, height, width))
    return _from_runs(np.asarray(unpack(merged["counts"].decode())), height, width)
