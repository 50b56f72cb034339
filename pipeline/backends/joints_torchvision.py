"""Joints by torchvision's Keypoint R-CNN; of several people the crop's own is taken.

Every image is scaled into the same height x width, so a batch gives what single images give.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from pipeline.backends.checkpoints import download, fill_model, library, load_state
from pipeline.backends.coco import central_person, from_coco
from pipeline.core.errors import ReidError

MODEL = "keypointrcnn_resnet50_fpn"  # the only one of the library
PEOPLE = 3  # detections kept; an untrained network would otherwise give 100
PROPOSALS = 100  # regions looked at: of the library's 1,000 a crop of one person needs few

# The library scores a joint by the peak of its heat map before the softmax, without an upper end;
# this one is given confidence 1/2.
HALF_SCORE = 3.0


class Settings(Protocol):
    """What this backend takes from the stage's parameters."""

    @property
    def model(self) -> str: ...
    @property
    def weights(self) -> str: ...
    @property
    def trusted(self) -> bool: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def person_score(self) -> float: ...


def build(settings: Settings, device: str) -> Callable[[list[np.ndarray]], list[np.ndarray | None]]:
    """Load the network; see `pipeline.backends` for what is returned."""
    if settings.model not in ("", MODEL):
        raise ReidError(f"joints.model: torchvision has no `{settings.model}` (it has {MODEL})")
    import torch

    model = _load(settings).to(device).eval()

    def estimate(images: list[np.ndarray]) -> list[np.ndarray | None]:
        fitted = [fit_into(image, settings.height, settings.width) for image in images]
        batch = [
            torch.from_numpy(image).to(device).permute(2, 0, 1).float() / 255 for image, _ in fitted
        ]
        with torch.inference_mode():
            found = model(batch)
        sizes = [image.shape[:2] for image in images]
        scales = [scale for _, scale in fitted]
        return [_joints(f, s, size) for f, s, size in zip(found, scales, sizes, strict=True)]

    return estimate


def fit_into(image: np.ndarray, height: int, width: int) -> tuple[np.ndarray, tuple[float, float]]:
    """Scale an image to fit into height x width, zeros below and right; and its (x, y) scale."""
    scale = min(height / image.shape[0], width / image.shape[1])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return canvas, (size[0] / image.shape[1], size[1] / image.shape[0])


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


def _load(settings: Settings) -> Any:
    import torch

    detection = library("torchvision.models.detection", "`pip install torchvision`")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = detection.keypointrcnn_resnet50_fpn(
            weights=None, weights_backbone=None, box_detections_per_img=PEOPLE,
            box_score_thresh=settings.person_score, rpn_post_nms_top_n_test=PROPOSALS,
            min_size=min(settings.height, settings.width),  # as the images come: not scaled again
            max_size=max(settings.height, settings.width),
        )  # fmt: skip
    if settings.weights == "random":
        return model
    path = Path(settings.weights)
    if settings.weights == "pretrained":
        path = download(detection.KeypointRCNN_ResNet50_FPN_Weights.COCO_V1.url)
    fill_model(model, load_state(path, trusted=settings.trusted), path)
    return model
