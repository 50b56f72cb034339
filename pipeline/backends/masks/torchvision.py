"""Masks by any Mask R-CNN of torchvision; of several people the crop's own is taken.

`model` is maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2, or maskrcnn_small, which is this
project's own: see `small_rcnn`. The library scales each image by itself, and gives the mask's
probabilities in the image's own pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.backends.libraries.torchvision_rcnn import PERSON, STRIDE, as_tensors, load_rcnn
from pipeline.backends.masks.person_mask import PersonMask, central_mask
from pipeline.backends.settings import Masks
from pipeline.backends.sizes import Size, by_size, padded_size, scaled_size

DETECTIONS = 8  # kept an image, of all classes; an untrained network would otherwise give 100


def build(settings: Masks, device: str) -> Callable[[list[np.ndarray]], list[PersonMask | None]]:
    """Load the network; see `pipeline.backends` for what is returned."""
    sides = settings.shortest_side, settings.longest_side
    model = load_rcnn(
        "masks", settings, box_detections_per_img=DETECTIONS, min_size=sides[0], max_size=sides[1]
    ).to(device)

    def run(images: list[np.ndarray], _: Size) -> list[PersonMask | None]:
        import torch

        with torch.inference_mode():
            results = model(as_tensors(images, device))
        return [_mask(each, settings.mask_threshold) for each in results]

    def estimate(images: list[np.ndarray]) -> list[PersonMask | None]:
        return by_size(images, lambda size: padded_size(scaled_size(size, *sides), STRIDE), run)

    return estimate


def _mask(result: dict[str, Any], threshold: float) -> PersonMask | None:
    """The crop's own person, None where there is none among the detections of all classes."""
    people = result["labels"] == PERSON
    masks = (result["masks"][people, 0] >= threshold).cpu().numpy()  # (N, H, W)
    return central_mask(masks, result["scores"][people].cpu().numpy())
