"""Mask-swap synthesis as arrays: squaring, regions of the body, filling them in, pasting.

The label, and the region that is pasted, are image i's; image j gives the background: its own
region is dilated and filled in from around, then image i's region is pasted over it.
Images are (S, S, 3) uint8 RGB, masks (S, S) bool, rectangles x1, y1, x2, y2 whole pixels of the
squared image, right and bottom excluded.

Source  Yaghoubi et al., the implicit attention of swapped regions, trained on RAP
Differs Masks are padded with zeros, images alone by their edge: a repeated edge smears a
        silhouette. A pixel of a scaled mask is set where at least half of it is covered. Image j
        loses its own region. Colours keep their order.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from reid.arrays import images

Rectangle = tuple[int, int, int, int]

KERNEL = np.ones((7, 7), np.uint8)  # a dilation grows a mask by 3 pixels on each side
RADIUS_SHARE = 0.1  # of a region's width: as far as filling in looks


class Placement(NamedTuple):
    """Where an image lies in its square, pixels: scaled size, and its corner."""

    height: int
    width: int
    top: int
    left: int


def placement(height: int, width: int, side: int) -> Placement:
    """Scale the longer side to `side` and centre the other; an odd pixel goes right or below."""
    scale = side / max(height, width)
    scaled = max(1, round(height * scale)), max(1, round(width * scale))
    return Placement(*scaled, (side - scaled[0]) // 2, (side - scaled[1]) // 2)


def square(image: np.ndarray, side: int) -> np.ndarray:
    """(H, W, 3) to (side, side, 3): scaled whole, the edge repeated beside it."""
    return _square(image, side, cv2.BORDER_REPLICATE)


def square_mask(mask: np.ndarray, side: int) -> np.ndarray:
    """(H, W) bool to (side, side) bool, aligned with `square`; nothing is set beside the image."""
    return _square(mask.astype(np.uint8) * 255, side, cv2.BORDER_CONSTANT) > 127


def _square(array: np.ndarray, side: int, border: int) -> np.ndarray:
    inner = placement(array.shape[0], array.shape[1], side)
    method = cv2.INTER_AREA if max(array.shape[:2]) > side else cv2.INTER_CUBIC
    scaled = cv2.resize(array, (inner.width, inner.height), interpolation=method)
    bottom, right = side - inner.height - inner.top, side - inner.width - inner.left
    return cv2.copyMakeBorder(scaled, inner.top, bottom, inner.left, right, border)


def bounds(mask: np.ndarray) -> Rectangle | None:
    """The smallest rectangle around a mask; None where nothing is set."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def head_torso(head_shoulder: np.ndarray, upper_body: np.ndarray) -> np.ndarray:
    """Two part boxes, pixels of a person's image, to the box (4,) of head and torso.

    It goes from the image's own left, which is the person's, and the top of the head to the right
    and bottom of the upper body.
    """
    return np.array([0, head_shoulder[1], upper_body[2], upper_body[3]], np.float64)


def rectangle_in_square(box: np.ndarray, height: int, width: int, side: int) -> Rectangle | None:
    """A box (4,) in pixels of a height x width image to its square; None where all is outside."""
    inner = placement(height, width, side)
    x = inner.left + np.clip(box[[0, 2]], 0, width) * (inner.width / width)
    y = inner.top + np.clip(box[[1, 3]], 0, height) * (inner.height / height)
    x1, y1, x2, y2 = (round(float(v)) for v in (x[0], y[0], x[1], y[1]))
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


def inside(mask: np.ndarray, rectangle: Rectangle) -> np.ndarray:
    """The part of a mask that lies in a rectangle."""
    x1, y1, x2, y2 = rectangle
    cut = np.zeros_like(mask)
    cut[y1:y2, x1:x2] = mask[y1:y2, x1:x2]
    return cut


def dilate(mask: np.ndarray, iterations: int) -> np.ndarray:
    """Grow a mask by 7x7 ones, `iterations` times."""
    return cv2.dilate(mask.astype(np.uint8), KERNEL, iterations=iterations).astype(bool)


def radius_of(rectangle: Rectangle, share: float = RADIUS_SHARE) -> float:
    """How far filling in looks, pixels, for a region with this rectangle."""
    return share * (rectangle[2] - rectangle[0])


def inpaint(image: np.ndarray, mask: np.ndarray, radius: float) -> np.ndarray:
    """Fill the masked pixels in from around them by Telea's fast marching; `radius` in pixels.

    Only a window around the mask is worked on. It gives the same pixels as the whole image would:
    a filled pixel depends on pixels up to the radius away and on their gradients, which reach one
    pixel farther. OpenCV rounds the radius and keeps it within 1 to 100.
    """
    around = bounds(mask)
    if around is None:
        return image.copy()
    margin = min(max(round(radius), 1), 100) + 1
    x1, y1, x2, y2 = around
    rows = slice(max(0, y1 - margin), y2 + margin)
    columns = slice(max(0, x1 - margin), x2 + margin)
    filled = image.copy()
    filled[rows, columns] = cv2.inpaint(
        np.ascontiguousarray(image[rows, columns]),
        np.ascontiguousarray(mask[rows, columns]).astype(np.uint8),
        radius,
        cv2.INPAINT_TELEA,
    )
    return filled


def background(
    image: np.ndarray,
    region: np.ndarray,
    rectangle: Rectangle,
    iterations: int = 1,
    share: float = RADIUS_SHARE,
) -> np.ndarray:
    """A squared image without its region: dilated and filled in; `rectangle` is the region's."""
    return inpaint(image, dilate(region, iterations), radius_of(rectangle, share))


def paste(
    image: np.ndarray,
    region: np.ndarray,
    onto: np.ndarray,
    source: Rectangle | None = None,
    target: Rectangle | None = None,
) -> np.ndarray:
    """The region of `image` pasted over the background `onto`; the inputs are left as they are.

    Without rectangles the region's pixels are copied to the same coordinates. With them, what lies
    in `source` is scaled to the size of `target`, each side by its own factor, and pasted there.
    """
    if source is None or target is None:
        return np.where(region[..., None], image, onto)
    x1, y1, x2, y2 = source
    left, top, right, bottom = target
    size = bottom - top, right - left
    part = images.resize(image[y1:y2, x1:x2], *size)
    covered = images.resize(region[y1:y2, x1:x2].astype(np.uint8) * 255, *size) > 127
    pasted = onto.copy()
    pasted[top:bottom, left:right][covered] = part[covered]
    return pasted
