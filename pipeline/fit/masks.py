"""Fits torchvision's Mask R-CNN, with the small backbone and heads, to crops of one person.

The person that a crop is about is what it learns to find; others in the crop are background.
Source  He et al., ICCV 2017: the library's losses, of proposals, boxes, classes and masks
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.backends.libraries.small_rcnn import small_mask_rcnn
from pipeline.fit import crop_views
from pipeline.fit.crop_views import Crop, examples
from pipeline.fit.looks import change_light, degrade
from pipeline.fit.training import Lesson, Recipe
from pipeline.stages.masks import tight_box

SIDES = 128, 512  # pixels that the shorter and longer side are scaled to
MASK_SHARE = 2.0  # of the masks' loss; the boxes of a crop are easy
LEAST_PIXELS = 30  # of a person, or the crop shows nobody


class Batch(NamedTuple):
    images: list[Tensor]  # (3, H, W) uint8
    targets: list[dict[str, Tensor]]


def network(device: str) -> nn.Module:
    model = small_mask_rcnn(
        min_size=SIDES[0], max_size=SIDES[1], rpn_pre_nms_top_n_train=400,
        rpn_post_nms_top_n_train=100, rpn_batch_size_per_image=64, box_batch_size_per_image=16,
    )  # fmt: skip
    return model.to(device).train()


def batch(crops: Sequence[Crop], rng: np.random.Generator) -> Batch:
    """Crops cut anew, mirrored at times, in other light and worse pictures."""
    images, targets = [], []
    for crop in crops:
        crop = crop_views.recut(crop, rng)
        crop = crop_views.mirror(crop) if rng.random() < 0.5 else crop
        image, mask = change_light(crop.image, rng), crop.mask
        if rng.random() < 0.15:
            image, mask = crop_views.hide(image, mask, rng)
        image = degrade(image, rng)
        images.append(torch.from_numpy(image.transpose(2, 0, 1).copy()))
        targets.append(_target(mask))
    return Batch(images, targets)


def _target(mask: np.ndarray) -> dict[str, Tensor]:
    there = int(mask.sum()) >= LEAST_PIXELS
    boxes = np.array([tight_box(mask)] if there else [], np.float32).reshape(-1, 4)
    return {
        "boxes": torch.from_numpy(boxes),
        "labels": torch.ones(len(boxes), dtype=torch.int64),
        "masks": torch.from_numpy(mask[None][: len(boxes)].astype(np.uint8)),
    }


def loss(model: Any, batch: Batch, device: str, share: float) -> Tensor:
    """The sum of the library's losses, that of masks counted more."""
    del share
    images = [image.to(device).float() / 255 for image in batch.images]
    targets = [{name: value.to(device) for name, value in t.items()} for t in batch.targets]
    losses = model(images, targets)
    return torch.stack([*losses.values(), (MASK_SHARE - 1) * losses["loss_mask"]]).sum()


LESSON = Lesson(
    weights="masks_torchvision",
    sheets=crop_views.SHEETS,
    defaults=Recipe(steps=4000, batch=16, learning_rate=2e-3, weight_decay=1e-3),
    examples=examples,
    network=network,
    batch=batch,
    loss=loss,
)
