"""Samples: the whole body and its parts, augmented and normalised."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from reid.arrays.images import crop
from reid.arrays.poses import strips
from reid.nn.augment import horizontal_flip
from reid.papers.attention_driven.params import Params
from reid.project.errors import ReidError


def view(params: Params, image: np.ndarray, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """One (H, W, 3) uint8 RGB image as `whole` (h, w, 3) and `parts` (4, part h, part w, 3).

    `row["parts"]` (5, 4) is x1, y1, x2, y2 of the whole body and the parts. The baseline takes
    the whole image and four equal strips instead.
    """
    if params.model == "baseline":
        height, width = image.shape[:2]
        boxes = strips(np.array([height]), np.array([width]))[0]
    elif row.get("parts") is None:
        raise ReidError(f"{row.get('image_id', 'a row')}: no part boxes; see the stage `parts`")
    else:
        boxes = np.array([list(box) for box in row["parts"]], np.float32)
    parts = [crop(image, box, params.part_height, params.part_width) for box in boxes[1:]]
    return {"whole": crop(image, boxes[0], params.height, params.width), "parts": np.stack(parts)}


def augment(
    params: Params, batch: dict[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """Flip samples (B, ..., W, 3) left to right; the whole body and its parts share one draw."""
    images = {name: view.movedim(-1, -3) for name, view in batch.items()}
    flipped = horizontal_flip(images, generator, params.flip)
    return {name: image.movedim(-3, -1) for name, image in flipped.items()}


def normalize(params: Params, batch: dict[str, Tensor], mean: Tensor) -> dict[str, Tensor]:
    """uint8 (B, ..., H, W, 3) to float (B, ..., 3, H, W): (pixel - mean) / 255.

    `mean` (3,): the training images' channel means, 0 to 255. Memory stays channels-last.
    """
    return {name: ((view - mean) / 255).movedim(-1, -3) for name, view in batch.items()}
