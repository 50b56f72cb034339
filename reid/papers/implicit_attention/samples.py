"""Samples: squared images, swapped backgrounds, augmentation and normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from reid.arrays.images import resize
from reid.arrays.swaps import square
from reid.data import swaps
from reid.data.dataset import Data
from reid.nn.augment import (
    horizontal_flip,
    pad_and_crop,
    random_erasing,
)
from reid.papers.implicit_attention.params import Params


def view(params: Params, image: np.ndarray, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """One (H, W, 3) uint8 RGB image as `image` (h, w, 3), and its part in swaps where it has one.

    The longer side is scaled to `side` and the edge repeated beside the other, then all is resized.
    """
    ready = {"image": resize(square(image, params.side), params.height, params.width)}
    if swaps.BACKGROUND in row:
        ready |= swaps.prepared(row, params.height, params.width)
    return ready


def donors(params: Params, data: Data) -> swaps.Donors | None:
    """Which rows of the training data give which others a background; None: there are no swaps."""
    return swaps.Donors(data, params.swap_probability) if params.swap_probability else None


def combine(
    params: Params, batch: dict[str, Tensor], given: dict[str, Tensor], places: Tensor
) -> dict[str, Tensor]:
    """The batch (B) with the backgrounds of `given` (S) at `places` (S,)."""
    return {"image": swaps.swap(batch, given, places)}


def augment(
    params: Params, batch: dict[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """uint8 (B, H, W, 3) to float 0 to 255: flipped, shifted, and a rectangle erased.

    The rectangle is filled before normalising, with what normalises to `erase_fill`.
    """
    images = {"image": batch["image"].movedim(-1, -3)}
    images = horizontal_flip(images, generator, params.flip)
    images = pad_and_crop(images, generator, params.pad)
    images = {"image": images["image"].float()}
    triples = zip(params.erase_fill, params.mean, params.std, strict=True)
    fill = [255 * (value * std + mean) for value, mean, std in triples]
    images = random_erasing(
        images, generator, params.erase, params.erase_area, params.erase_aspect, fill
    )
    return {"image": images["image"].movedim(-3, -1)}


def normalize(params: Params, batch: dict[str, Tensor], mean: Tensor) -> dict[str, Tensor]:
    """(B, H, W, 3) of 0 to 255 to float (B, 3, H, W), by `params.mean` and `params.std`.

    The training images' own `mean` is not used. Memory stays channels-last.
    """
    image = batch["image"]
    centre, spread = (255 * torch.tensor(v, device=image.device) for v in (params.mean, params.std))
    return {"image": ((image - centre) / spread).movedim(-1, -3)}
