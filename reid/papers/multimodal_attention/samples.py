"""Samples: colour and depth as colours, cropped, flipped and normalised."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from reid.arrays.images import resize
from reid.nn.augment import change_light, crop_at, horizontal_flip, vertical_flip
from reid.nn.caffenet import (
    MEAN_BGR,
)
from reid.papers.multimodal_attention.params import Params
from reid.project.errors import ReidError


def view(params: Params, image: np.ndarray, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """One (H, W, 3) uint8 RGB image as `rgb`, its `row["jet"]` as `depth`, both (256, 256, 3)."""
    found = {"rgb": image, "depth": row.get("jet")}
    if "depth" in params.modalities and found["depth"] is None:
        raise ReidError(f"{row.get('image_id', 'a row')}: no depth as colour; see the stage `jet`")
    size = params.resized
    return {name: resize(found[name], size, size) for name in params.modalities}


def augment(
    params: Params, batch: dict[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """Crop and flip samples (B, 256, 256, 3) to (B, 227, 227, 3); a pair has one draw.

    The crop's offset from the top and from the left is 0 to 29.
    """
    count = len(next(iter(batch.values())))
    offsets = params.resized - params.side + 1
    top, left = torch.randint(offsets, (2, count), generator=generator)
    size = params.side, params.side
    turned = {n: crop_at(image.movedim(-1, -3), top, left, size) for n, image in batch.items()}
    turned = horizontal_flip(turned, generator, params.flip)
    if params.vertical_flip:
        turned = vertical_flip(turned, generator, params.vertical_flip)
    if (params.brightness or params.tint) and "rgb" in turned:
        colour = {"rgb": turned["rgb"]}
        turned |= change_light(colour, generator, params.brightness, params.tint)
    return {name: image.movedim(-3, -1) for name, image in turned.items()}


def normalize(params: Params, batch: dict[str, Tensor], mean: Tensor) -> dict[str, Tensor]:
    """uint8 RGB (B, H, W, 3) to CaffeNet's float BGR (B, 3, 227, 227): pixel - ImageNet's mean.

    Channels stay last in memory, as the network has them. Images of another size, which no crop was
    drawn for, give their centre. `mean`, the training images' own, is not used.
    """
    middle = (params.resized - params.side) // 2
    inside = slice(middle, middle + params.side)
    centre = mean.new_tensor(MEAN_BGR).repeat(params.side)
    ready = {}
    for name, image in batch.items():
        if image.shape[1] != params.side:
            image = image[:, inside, inside]
        # A row's values back to front, then its pixels: what is turned is each pixel's channels.
        mirrored = image.flatten(-2).flip(-1).unflatten(-1, image.shape[-2:])
        bgr = mirrored.flip(-2).to(mean.dtype)
        bgr.flatten(-2).sub_(centre).mul_(params.pixel_scale)  # a view: whole rows at once
        ready[name] = bgr.movedim(-1, -3)
    return ready
