"""Flow by Lucas and Kanade's method at every pixel, coarse to fine. Needs no weights.

Each pixel's `window` is followed through a pyramid of `levels` halvings. A pixel whose window has
too little texture, or leaves the next frame, is lost: its flow is unknown, and reads as zero.
Source  OpenCV's calcOpticalFlowPyrLK
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import cv2
import numpy as np

from reid.arrays.flow import Flow


class Settings(Protocol):
    """What this backend takes from the stage's parameters."""

    @property
    def window(self) -> int: ...
    @property
    def levels(self) -> int: ...


def build(
    settings: Settings, device: str
) -> Callable[[Sequence[tuple[np.ndarray, np.ndarray]]], list[Flow]]:
    """What follows all pixels; see `pipeline.backends` for what is returned."""
    del device
    window = (settings.window, settings.window)

    def follow(pair: tuple[np.ndarray, np.ndarray]) -> Flow:
        first, following = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in pair)
        height, width = first.shape
        points = np.indices((height, width), np.float32)[::-1].reshape(2, -1).T  # (H*W, 2) x, y
        points = np.ascontiguousarray(points)
        moved, status, _ = cv2.calcOpticalFlowPyrLK(  # in OpenCV's own threads
            first, following, points, np.zeros_like(points), winSize=window,
            maxLevel=settings.levels,
        )  # fmt: skip
        valid = status.reshape(height, width) > 0
        flow_px = (moved - points).reshape(height, width, 2)
        return Flow(np.where(valid[..., None], flow_px, 0).astype(np.float32), valid)

    return lambda pairs: [follow(pair) for pair in pairs]
