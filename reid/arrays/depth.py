"""Depth maps: readings that are missing, and depth as a colour image, near blue and far red.

Depth is (H, W) uint16 millimetres, 0 = no reading.
Source   the JET colours of OpenCV's table, entry by entry
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

JET = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_JET)[:, 0, ::-1].copy()
LEVELS = 65_536  # values that a reading can have

Colour = tuple[int, int, int]  # red, green, blue
Substitute = Literal["far", "near", "nearest"]


def colorize(
    depth_mm: np.ndarray, near_mm: int, far_mm: int, missing: Substitute | Colour = "far"
) -> np.ndarray:
    """Depth to (H, W, 3) uint8 RGB of `JET`, from `near_mm`, dark blue, to `far_mm`, dark red.

    Nearer and farther readings get those two colours. A pixel without a reading is shown as `far`
    or `near`, in a colour (R, G, B), or as the `nearest` pixel that has a reading.
    """
    shown = fill_nearest(depth_mm) if missing == "nearest" else depth_mm
    scaled = (shown.astype(np.float32) - near_mm) / (far_mm - near_mm)
    image = JET[np.rint(255 * scaled.clip(0, 1)).astype(np.uint8)]  # (H, W, 3)
    if missing in ("far", "near", "nearest"):
        missing = JET[0 if missing == "near" else 255]
    image[shown == 0] = missing
    return image


def fill_nearest(depth_mm: np.ndarray) -> np.ndarray:
    """Each missing reading replaced by the nearest one in the image; all 0 where there is none."""
    read = depth_mm > 0
    if read.all() or not read.any():
        return depth_mm
    return depth_mm[read][nearest_of(read)]


def nearest_of(chosen: np.ndarray) -> np.ndarray:
    """For each pixel of an (H, W) bool mask, which of its set pixels is nearest: (H, W) int32.

    Set pixels are numbered from 0 along the rows. At least one must be set.
    """
    unset = (~chosen).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(
        unset, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label = np.asarray(labels, np.int32)
    number = np.empty(int(label.max()) + 1, np.int32)
    number[label[chosen]] = np.arange(np.count_nonzero(chosen))
    return number[label]


def histogram(depth_mm: np.ndarray) -> np.ndarray:
    """How often each reading occurs, (LEVELS,); missing readings are not counted."""
    counts = np.bincount(depth_mm.ravel(), minlength=LEVELS)
    counts[0] = 0
    return counts


def percentile(counts: np.ndarray, percent: float) -> int:
    """The least reading that `percent` of those in a histogram do not exceed."""
    running = np.cumsum(counts)
    return int(np.searchsorted(running, max(1.0, percent / 100 * running[-1])))
