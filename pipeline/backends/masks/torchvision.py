"""Masks by any Mask R-CNN of torchvision; of several people the crop's own is taken.

`model` is maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2, or maskrcnn_small, which is this
project's own: see `small_rcnn`. The library scales each image by itself, and draws masks in whole
pixels of the original: it rounds the box, and stretches the mask by one. In a crop of 40 x 80
pixels that costs more than the network's finest cells; here each pixel looks up its own place.

Source  where a pixel looks: He et al., ICCV 2017, section 3 (RoIAlign, which rounds nothing)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.backends.libraries.torchvision_rcnn import PERSON, STRIDE, as_tensors, load_rcnn
from pipeline.backends.masks.person_mask import PersonMask, central_mask
from pipeline.backends.settings import Masks
from pipeline.backends.sizes import Size, by_size, padded_size, scaled_size

if TYPE_CHECKING:
    from torch import Tensor

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
            batch, _ = model.transform(as_tensors(images, device))
            features = model.backbone(batch.tensors)
            proposals, _ = model.rpn(batch, features)
            found, _ = model.roi_heads(features, proposals, batch.image_sizes)
            return [
                _mask(people, scaled, image.shape[:2], settings.mask_threshold)
                for people, scaled, image in zip(found, batch.image_sizes, images, strict=True)
            ]

    def estimate(images: list[np.ndarray]) -> list[PersonMask | None]:
        return by_size(images, lambda size: padded_size(scaled_size(size, *sides), STRIDE), run)

    return estimate


def _mask(found: dict[str, Any], scaled: Size, size: Size, threshold: float) -> PersonMask | None:
    """The crop's own person, None where there is none among the detections of all classes."""
    people = found["labels"] == PERSON
    placed = place(found["masks"][people], found["boxes"][people], scaled, size)
    return central_mask((placed >= threshold).cpu().numpy(), found["scores"][people].cpu().numpy())


def place(masks: Tensor, boxes: Tensor, scaled: Size, size: Size) -> Tensor:
    """(N, 1, M, M) probabilities within (N, 4) boxes as (N, H, W) ones of an image of `size`.

    Boxes are x1, y1, x2, y2 in pixels of the image as `scaled`. A pixel's value is read between the
    cells around its centre, of which those beyond the box are 0.
    """
    import torch
    from torch.nn.functional import grid_sample

    along = []  # each pixel's place in each box, -1 to 1: of columns, then of rows
    for axis in (1, 0):
        ratio = scaled[axis] / size[axis]
        centres = (torch.arange(size[axis], device=boxes.device) + 0.5) * ratio
        low, high = boxes[:, [1 - axis]], boxes[:, [3 - axis]]
        along.append(2 * (centres - low) / (high - low) - 1)
    x, y = along
    grid = torch.stack(torch.broadcast_tensors(x[:, None], y[:, :, None]), -1)  # (N, H, W, 2)
    return grid_sample(masks, grid, align_corners=False)[:, 0]
