"""Joints by torchvision's Keypoint R-CNN; of several people the crop's own is taken.

Every image is scaled into the same height x width, so a batch gives what single images give.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from pipeline.backends import settings
from pipeline.backends.coco import central_person, from_coco
from pipeline.backends.libraries.torchvision_rcnn import as_tensors, load_rcnn
from pipeline.backends.sizes import fit_into

PEOPLE = 3  # detections kept; an untrained network would otherwise give 100

# The library scores a joint by the peak of its heat map before the softmax, without an upper end;
# this one is given confidence 1/2.
HALF_SCORE = 3.0


class Settings(settings.Detector, Protocol):
    """What this backend takes from the stage's parameters."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...


def build(settings: Settings, device: str) -> Callable[[list[np.ndarray]], list[np.ndarray | None]]:
    """Load the network; see `pipeline.backends` for what is returned."""
    sides = sorted((settings.height, settings.width))  # as the images come: not scaled again
    model = load_rcnn(
        "joints", settings, box_detections_per_img=PEOPLE, min_size=sides[0], max_size=sides[1]
    ).to(device)

    def estimate(images: list[np.ndarray]) -> list[np.ndarray | None]:
        import torch

        fitted = [fit_into(image, settings.height, settings.width) for image in images]
        with torch.inference_mode():
            found = model(as_tensors([image for image, _ in fitted], device))
        sizes = [image.shape[:2] for image in images]
        scales = [scale for _, scale in fitted]
        return [_joints(f, s, size) for f, s, size in zip(found, scales, sizes, strict=True)]

    return estimate


def _joints(
    found: dict[str, Any], scale: tuple[float, float], size: tuple[int, int]
) -> np.ndarray | None:
    """(18, 3) joints of the crop's own person in the image's pixels, None where nobody is found."""
    boxes = found["boxes"].cpu().numpy() / (*scale, *scale)  # (N, 4)
    if not len(boxes):
        return None
    person = central_person(boxes, *size)
    joints = found["keypoints"][person].cpu().numpy().astype(np.float32)  # (17, 3)
    joints[:, :2] /= scale
    score = found["keypoints_scores"][person].cpu().numpy()
    joints[:, 2] = 1 / (1 + np.exp(HALF_SCORE - score))
    return from_coco(joints)
