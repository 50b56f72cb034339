"""A structured-light depth camera: true depth to the readings that it gives, and those it lacks.

A projector beside the lens throws a pattern. No reading comes from where something nearer keeps the
pattern off (a shadow at one side of it), from steep edges, from dark hair, which swallows it, from
shiny spots of a floor, and from a strip at the frame's side, where lens and projector do not
overlap. What is read is noisy with the square of the distance.
"""

from __future__ import annotations

import cv2
import numpy as np

BASELINE_M = 0.075  # from lens to projector
STRIP = 1 / 80  # of the width
STEEP_M = 0.12  # between neighbouring pixels
NOISE_M, NOISE_PER_M2, NEAREST_M = 0.0012, 0.0019, 0.4  # standard deviation, as Kinect's
SHARPER = 0.4  # of that noise is left once readings are averaged to a small frame


def readings(
    depth: np.ndarray, dark: np.ndarray, focal_px: float, missing: float, rng: np.random.Generator
) -> np.ndarray:
    """(H, W) metres to (H, W) uint16 millimetres, 0 = no reading.

    `dark` (H, W), 0 to 1, is how much of the pattern a surface swallows; `focal_px` is in pixels
    of this image; `missing` scales what chance takes away (0: nothing).
    """
    height, width = depth.shape
    spread = SHARPER * (NOISE_M + NOISE_PER_M2 * (depth - NEAREST_M).clip(0) ** 2)
    noisy = depth + spread * rng.normal(size=depth.shape)
    lost = _shadow(depth, focal_px) | (_blotches(rng, height, width) < missing * 0.7 * dark)
    lost |= _steep(depth) & (rng.random(depth.shape) < 0.3 * missing)
    lost |= _blotches(rng, height, width) < 0.012 * missing
    lost[:, width - max(1, round(STRIP * width)) :] = True
    return np.where(lost, 0, np.rint(1000 * noisy)).clip(0, 65_535).astype(np.uint16)


def _shadow(depth: np.ndarray, focal_px: float) -> np.ndarray:
    """(H, W) whether something nearer stands between the pixel's surface and the projector.

    The projector sees a pixel at its column plus baseline * focal / depth. A pixel is in the dark
    where one to its left, being nearer, is seen by the projector at its column or beyond.
    """
    seen = np.arange(depth.shape[1]) + BASELINE_M * focal_px / depth
    before = np.maximum.accumulate(seen, axis=1)
    hidden = np.zeros(depth.shape, bool)
    hidden[:, 1:] = before[:, :-1] > seen[:, 1:] + 1e-6
    return hidden


def _steep(depth: np.ndarray) -> np.ndarray:
    across, down = np.abs(np.diff(depth, axis=1)), np.abs(np.diff(depth, axis=0))
    steep = np.zeros(depth.shape, bool)
    for jump, rows, columns in (
        (across, slice(None), slice(1, None)), (across, slice(None), slice(None, -1)),
        (down, slice(1, None), slice(None)), (down, slice(None, -1), slice(None)),
    ):  # fmt: skip
        steep[rows, columns] |= jump > STEEP_M
    return steep


def _blotches(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W) smooth noise whose values are about evenly spread over 0 to 1."""
    small = rng.random((height // 3 + 1, width // 3 + 1)).astype(np.float32)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
