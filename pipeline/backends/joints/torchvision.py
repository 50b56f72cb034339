"""Joints by torchvision's Keypoint R-CNN; of several people the crop's own is taken.

Every image is scaled into the same height x width, so a batch gives what single images give.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.backends.coco import central_person, from_coco
from pipeline.backends.libraries.torchvision_rcnn import as_tensors, load_rcnn
from pipeline.backends.settings import Joints
from pipeline.backends.sizes import fit_into

PEOPLE = 3  # detections kept; an untrained network would otherwise give 100

# The library scores a joint by the peak of its heat map before the softmax, without an upper end;
# this one counts as confidence 1/2.
HALF_SCORE = 3.0


def build(settings: Joints, device: str) -> Callable[[list[np.ndarray]], list[np.ndarray | None]]:
    """Load the network; see `pipeline.backends` for what is returned."""
    sides = sorted((settings.height, settings.width))  # as the images come: not scaled again
    model = load_rcnn(
        "joints", settings, box_detections_per_img=PEOPLE, min_size=sides[0], max_size=sides[1]
    ).to(device)

    def estimate(images: list[np.ndarray]) -> list[np.ndarray | None]:
        import torch

        fitted = [fit_into(image, settings.height, settings.width) for image in images]
        with torch.inference_mode():
            results = model(as_tensors([image for image, _ in fitted], device))
        sizes = [image.shape[:2] for image in images]
        scales = [scale for _, scale in fitted]
        return [_joints(r, s, size) for r, s, size in zip(results, scales, sizes, strict=True)]

    return estimate


def _joints(
    result: dict[str, Any], scale: tuple[float, float], size: tuple[int, int]
) -> np.ndarray | None:
    """(18, 3) joints of the crop's own person in the image's pixels, None where nobody is found."""
    boxes = result["boxes"].cpu().numpy() / (*scale, *scale)  # (N, 4)
    if not len(boxes):
        return None
    person = central_person(boxes, *size)
    joints = result["keypoints"][person].cpu().numpy().astype(np.float32)  # (17, 3)
    joints[:, :2] /= scale
    score = result["keypoints_scores"][person].cpu().numpy()
    joints[:, 2] = 1 / (1 + np.exp(HALF_SCORE - score))
    return from_coco(joints)
