"""Crops of one person out of rendered examples, as masks and joints are fitted to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.fit.people import Example
from reid.arrays.poses import MIRROR

SHEETS = {"street": 200, "mall": 200, "hall": 120, "topview": 60}
TRACKLET_STEP = 4  # of a long tracklet's frames, which differ little
LARGEST = 160  # pixels of a crop, height or width
MARGIN = 0.15  # about a person seen from above, of the longer side


class Crop(NamedTuple):
    image: np.ndarray  # (H, W, 3) uint8 RGB
    mask: np.ndarray  # (H, W) bool
    joints: np.ndarray | None  # (18, 3)


def examples(sheet: Sequence[Example]) -> list[Crop]:
    """The crops of a sheet; a whole frame is cut to the person and a margin."""
    step = TRACKLET_STEP if any(one.flow is not None for one in sheet) and len(sheet) > 40 else 1
    return [crop for one in sheet[::step] if (crop := _crop(one)) is not None]


def _crop(one: Example) -> Crop | None:
    if max(one.mask.shape) <= LARGEST:
        return Crop(one.image, one.mask, one.joints)
    rows, columns = np.flatnonzero(one.mask.any(1)), np.flatnonzero(one.mask.any(0))
    if not len(rows):
        return None
    return cut(
        Crop(one.image, one.mask, one.joints),
        *_wider(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1, *one.mask.shape),
    )


def _wider(x1: int, y1: int, x2: int, y2: int, height: int, width: int) -> list[int]:
    margin = round(MARGIN * max(x2 - x1, y2 - y1))
    low = max(0, x1 - margin), max(0, y1 - margin)
    return [*low, min(width, x2 + margin), min(height, y2 + margin)]


def cut(crop: Crop, x1: int, y1: int, x2: int, y2: int) -> Crop:
    """A part of a crop; joints beyond it are outside."""
    joints = None
    if crop.joints is not None:
        joints = crop.joints - np.array([x1, y1, 0], np.float32)
        inside = (joints[:, :2] >= 0).all(1) & (joints[:, :2] < [x2 - x1, y2 - y1]).all(1)
        joints[~inside, 2] = 0
    return Crop(crop.image[y1:y2, x1:x2], crop.mask[y1:y2, x1:x2], joints)


def mirror(crop: Crop) -> Crop:
    """Left to right; a left arm becomes a right one."""
    joints = None
    if crop.joints is not None:
        joints = crop.joints[MIRROR] * np.array([-1, 1, 1], np.float32)
        joints[:, 0] += crop.image.shape[1]
    return Crop(crop.image[:, ::-1], crop.mask[:, ::-1], joints)


def recut(crop: Crop, rng: np.random.Generator, most: float = 0.12) -> Crop:
    """Cut something off the sides, at most so much of each, as a worse detector does."""
    height, width = crop.mask.shape
    shares = rng.uniform(0, most, 4) * (rng.random(4) < 0.5)
    x1, x2 = round(shares[0] * width), width - round(shares[1] * width)
    y1, y2 = round(shares[2] * height), height - round(shares[3] * height)
    return cut(crop, x1, y1, x2, y2)


def hide(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple:
    """Put a rectangle of one colour before the person: image and what stays of the mask."""
    height, width = mask.shape
    tall, wide = round(rng.uniform(0.1, 0.4) * height), round(rng.uniform(0.15, 0.6) * width)
    y, x = int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1))
    image, mask = image.copy(), mask.copy()
    image[y : y + tall, x : x + wide] = rng.integers(0, 256, 3)
    mask[y : y + tall, x : x + wide] = False
    return image, mask
