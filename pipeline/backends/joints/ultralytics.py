"""Joints by any pose network of ultralytics; of several people the crop's own is taken.

Every image is scaled into the same height x width, so a batch gives what single images give.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.backends.coco import central_person, from_coco
from pipeline.backends.libraries.ultralytics import load_yolo, own_threads
from pipeline.backends.settings import Joints
from reid.project.errors import ReidError


def build(settings: Joints, device: str) -> Callable[[list[np.ndarray]], list[np.ndarray | None]]:
    """Load the network; see `pipeline.backends` for what is returned."""
    yolo = load_yolo("joints", settings)
    shape = tuple(getattr(yolo.model, "kpt_shape", None) or yolo.model.yaml.get("kpt_shape", ()))
    if shape != (17, 3):
        raise ReidError(f"joints.model: it gives joints of shape {shape}, not COCO's (17, 3)")

    def estimate(images: list[np.ndarray]) -> list[np.ndarray | None]:
        bgr = [np.ascontiguousarray(image[..., ::-1]) for image in images]
        with own_threads():
            results = yolo.predict(
                bgr, imgsz=(settings.height, settings.width), rect=False, device=device,
                conf=settings.person_score, batch=len(bgr), verbose=False, save=False,
            )  # fmt: skip
        return [_joints(result) for result in results]

    return estimate


def _joints(result: Any) -> np.ndarray | None:
    """(18, 3) joints of the crop's own person in the image's pixels, None where nobody is found."""
    boxes = result.boxes.xyxy.cpu().numpy()  # (N, 4)
    if not len(boxes):
        return None
    person = central_person(boxes, *result.orig_shape)
    return from_coco(result.keypoints.data[person].cpu().numpy().astype(np.float32))
