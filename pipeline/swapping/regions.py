"""The region of an image that a mask swap moves: the whole person, the upper body, or any mask.

Source  Yaghoubi et al.; the upper body's rectangle as in the authors' code
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from reid.arrays import swaps
from reid.arrays.images import BadImage, decode_mask
from reid.arrays.poses import JOINT, body_frame

PART_BOXES = ["box_head_shoulder", "box_upper_body"]  # base columns, pixels of the image


class Region(NamedTuple):
    """What is swapped of one image, in its square."""

    person: np.ndarray  # (S, S) bool: the person's mask
    mask: np.ndarray  # (S, S) bool: the region
    rectangle: swaps.Rectangle  # the region's


def region_of(row: Mapping[str, Any], kind: str, side: int) -> Region:
    """The region of a row, in its square of `side` pixels. Raises `BadImage` where there is none.

    The row has `height`, `width` and the person's `mask`. For `kind` upper_body it has a box
    `upper_body` (4,) or None, or the two part boxes; for `kind` given it has `region_masks.mask`.
    """
    person = _square_mask(row, "mask", side)
    mask, around = person, swaps.bounds(person)
    if kind == "given":
        mask = _square_mask(row, "region_masks.mask", side)
        around = swaps.bounds(mask)
    elif kind == "upper_body":
        around = swaps.rectangle_in_square(_upper_body(row), row["height"], row["width"], side)
        mask = swaps.inside(person, around) if around else person
    if around is None or not mask.any():
        raise BadImage(f"empty region {kind}")
    return Region(person, mask, around)


def upper_bodies(xy: np.ndarray) -> np.ndarray:
    """(N, 18, 2) joints to boxes (N, 4) from the head's top to the hips, as wide as the body."""
    frame = body_frame(xy)
    hips = xy[:, [JOINT["right_hip"], JOINT["left_hip"]], 1].max(1)
    return np.stack([frame.left, frame.top, frame.right, hips], 1)


def _square_mask(row: Mapping[str, Any], name: str, side: int) -> np.ndarray:
    if not row[name]:
        raise BadImage("no mask")
    mask = decode_mask(row[name]["bytes"] or b"")
    if mask.shape != (row["height"], row["width"]):
        raise BadImage("the mask has another size than the image")
    squared = swaps.square_mask(mask, side)
    if not squared.any():
        raise BadImage("empty mask")
    return squared


def _upper_body(row: Mapping[str, Any]) -> np.ndarray:
    """The box of head and torso, pixels of the image."""
    if "upper_body" in row:
        if row["upper_body"] is None:
            raise BadImage("no joints to find the upper body by")
        return row["upper_body"]
    boxes = [row[name] for name in PART_BOXES]
    if any(box is None for box in boxes):
        raise BadImage("no part boxes of the upper body")
    return swaps.head_torso(np.array(boxes[0]), np.array(boxes[1]))
