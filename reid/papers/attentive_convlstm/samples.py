"""Samples: frames and their flow, and the windows that are cut out of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from reid.arrays.images import resize
from reid.papers.attentive_convlstm.frame_cnn import (
    cut,
    standardized,
)
from reid.papers.attentive_convlstm.params import Params
from reid.project.errors import ReidError

FLOW_STEPS = 64  # of a pixel, in which views hold flow
FLOW_PX = (-127.0, 128.0)  # what a byte of McLaughlin et al.'s files can hold


def view(params: Params, image: np.ndarray, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """One frame (H, W, 3) as `image` (h, w, 3) uint8 and `flow` (h, w, 2) int16, 1/64 pixel.

    `row["flow"]` (H, W, 2): pixels to the right and down. They remain pixels of (H, W).
    """
    flow = row.get("flow")
    if flow is None:
        name = row.get("image_id", "a row")
        raise ReidError(f"{name}: no optical flow; see the stage `flow` (`reid flow`)")
    small = resize(flow.clip(*FLOW_PX), params.height, params.width)
    return {
        "image": resize(image, params.height, params.width),
        "flow": np.rint(FLOW_STEPS * small).astype(np.int16),
    }


def augment(
    params: Params, batch: dict[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """B clips as they are, and `window` (B, 3): top and left of a clip's crop, and its flip.

    Nothing is cut yet: `normalize` looks at whole frames first.
    """
    count = len(batch["image"])
    flipped = torch.rand(count, generator=generator) < params.flip
    corner = torch.randint(min(1, params.crop), params.crop + 1, (2, count), generator=generator)
    return {**batch, "window": torch.stack([*corner, flipped.long()], 1)}


def normalize(params: Params, batch: dict[str, Tensor], mean: Tensor) -> dict[str, Tensor]:
    """Clips (B, T, h, w, c) as views hold them to `image` (B, T, 5, h, w): Y, U, V and flow.

    Whole frames are standardised, one by one. Where `augment` drew windows, these are cut out, as
    `embed` does it for a test. `mean`, the training images' own, is not used.
    """
    frames = standardized(batch["image"], batch["flow"] / FLOW_STEPS, params.std_root)
    if "window" in batch:
        frames = cut(frames, batch["window"], params.size)
    return {"image": frames}


def corners(room: int, count: int) -> list[int]:
    """Corners of `count` crops that can move by `room` pixels: 1 to 8; a single one is central."""
    return [-(-(2 * i + 1) * room // (2 * count)) for i in range(count)]


def central(params: Params) -> tuple[int, int]:
    """Top and left of the crop in the middle."""
    (corner,) = corners(params.crop, 1)
    return corner, corner
