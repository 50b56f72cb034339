"""Boxes in a frame: x1, y1, x2, y2 in pixels, the origin at the top left pixel's corner."""

from __future__ import annotations

import math
from collections.abc import Sequence

Box = tuple[float, float, float, float]
Pixels = tuple[int, int, int, int]  # whole ones: columns x1 to x2 - 1, rows y1 to y2 - 1


def inside(box: Sequence[float], height: int, width: int) -> Box:
    """The part of a box that lies in the frame; what is outside has no height or width."""
    x1, y1, x2, y2 = (
        min(max(float(value), 0.0), float(limit))
        for value, limit in zip(box, (width, height, width, height), strict=True)
    )
    return x1, y1, x2, y2


def crop_box(
    box: Sequence[float], height: int, width: int, margin: float = 0.0, *, square: bool = False
) -> Pixels:
    """The pixels of the frame that are cut out for a box: at least all that it touches.

    `margin` is added on each side, in longer sides of the box. With `square` the shorter side is
    widened to the longer about the box's middle, shifted where the frame ends, and cut off where
    the frame is smaller.
    """
    x1, y1, x2, y2 = inside(box, height, width)
    more = margin * max(x2 - x1, y2 - y1)
    left, top = math.floor(x1 - more), math.floor(y1 - more)
    right, bottom = math.ceil(x2 + more), math.ceil(y2 + more)
    if square:
        side = max(right - left, bottom - top)
        left, right = _widened(left, right, side, width)
        top, bottom = _widened(top, bottom, side, height)
    return max(0, left), max(0, top), min(width, right), min(height, bottom)


def _widened(first: int, last: int, side: int, limit: int) -> tuple[int, int]:
    """A span made `side` long about its middle, shifted into 0 to `limit` where it fits there."""
    first -= (side - (last - first)) // 2
    first = max(0, min(first, limit - side))
    return first, first + side


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes, 0 where they do not meet."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)
