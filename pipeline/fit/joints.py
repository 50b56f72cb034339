"""Fits the small pose network, mmpose's, to crops of one person.

Source  Xiao et al., ECCV 2018: heatmaps of joints; the library's network, labels and loss
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from pipeline.backends.coco import to_coco
from pipeline.backends.joints.mmpose import untrained
from pipeline.backends.libraries import small_pose
from pipeline.fit import crop_views
from pipeline.fit.crop_views import Crop
from pipeline.fit.looks import change_light, degrade
from pipeline.fit.people import Example
from pipeline.fit.training import Lesson, Recipe

SIZE = small_pose.INPUT
SCALE = 1000.0  # of the loss, a mean over cells that are nearly all empty
PADDING = 1.25  # the library's, about the person's box: here the whole crop
ROTATION = 12.0  # degrees, standard deviation
HIDDEN_WEIGHT = 0.5  # of joints that are behind something, in the loss


class Batch(NamedTuple):
    images: Tensor  # (B, 3, 256, 128) uint8 RGB
    heatmaps: Tensor  # (B, 17, 32, 16)
    weights: Tensor  # (B, 17)


def examples(sheet: Sequence[Example]) -> list[Crop]:
    """The crops of a sheet that show somebody's joints."""
    return [
        crop
        for crop in crop_views.examples(sheet)
        if crop.joints is not None and (crop.joints[:, 2] == 1).sum() >= 3
    ]


def network(device: str) -> nn.Module:
    return untrained(small_pose.NAME, device).train()


def batch(crops: Sequence[Crop], rng: np.random.Generator) -> Batch:
    """Crops cut anew, turned, moved, mirrored at times, in other light and worse pictures."""
    from mmpose.codecs import MSRAHeatmap

    codec = MSRAHeatmap(SIZE, small_pose.HEATMAP, small_pose.SIGMA, unbiased=True)
    images, labels = [], []
    for crop in crops:
        crop = crop_views.recut(crop, rng)
        crop = crop_views.mirror(crop) if rng.random() < 0.5 else crop
        image = change_light(crop.image, rng)
        if rng.random() < 0.15:
            image, _ = crop_views.hide(image, crop.mask, rng)
        matrix = _matrix(crop.mask.shape[0], crop.mask.shape[1], rng)
        images.append(cv2.warpAffine(degrade(image, rng), matrix, SIZE, flags=cv2.INTER_LINEAR))
        assert crop.joints is not None  # `examples` keeps no others
        joints = to_coco(crop.joints)  # (17, 3)
        moved = joints[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        weight = np.where(joints[:, 2] == 1, 1.0, HIDDEN_WEIGHT * (joints[:, 2] > 0))
        inside = (moved >= 0).all(1) & (moved < SIZE).all(1)
        weight = (weight * inside).astype(np.float32)
        encoded = codec.encode(moved[None].astype(np.float32), weight[None])
        labels.append((encoded["heatmaps"], weight * (encoded["keypoint_weights"][0] > 0)))
    heatmaps, weights = (np.stack(part) for part in zip(*labels, strict=True))
    return Batch(
        torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy()),
        torch.from_numpy(heatmaps), torch.from_numpy(weights.astype(np.float32)),
    )  # fmt: skip


def _matrix(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(2, 3) from a crop's pixels to the input's: as the library puts it, moved a little."""
    scale = min(SIZE[0] / width, SIZE[1] / height) / PADDING * float(np.exp(0.12 * rng.normal()))
    middle = np.array([width, height]) * (0.5 + 0.03 * rng.normal(size=2))
    matrix = cv2.getRotationMatrix2D(middle.tolist(), ROTATION * float(rng.normal()), scale)
    matrix[:, 2] += np.array(SIZE) / 2 - middle
    return matrix


def loss(model: Any, batch: Batch, device: str, share: float) -> Tensor:
    """The library's loss of its labels."""
    del share
    images, heatmaps, weights = (part.to(device) for part in batch)
    shown = model.data_preprocessor
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # mmpose calls torch's older names
        heatmap = model.head(model.extract_feat((images.float() - shown.mean) / shown.std))
    return SCALE * model.head.loss_module(heatmap.float(), heatmaps, weights)


LESSON = Lesson(
    weights="joints_mmpose",
    sheets=crop_views.SHEETS,
    defaults=Recipe(steps=8000, batch=16, learning_rate=2e-3, weight_decay=0.01),
    examples=examples,
    network=network,
    batch=batch,
    loss=loss,
)
