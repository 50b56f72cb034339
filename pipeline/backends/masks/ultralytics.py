"""Masks by any segmentation network of ultralytics; of several people the crop's own is taken.

`model` is a name such as yolo11n-seg. The library cuts its masks at a probability of one half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.backends.libraries.ultralytics import load_yolo, own_threads
from pipeline.backends.masks.person_mask import PersonMask, central_mask
from pipeline.backends.settings import Masks
from pipeline.backends.sizes import Size, by_size, padded_size, scaled_size
from reid.project.errors import ReidError

DETECTIONS = 8  # people kept an image
STRIDE = 32  # inputs are multiples of it


def build(settings: Masks, device: str) -> Callable[[list[np.ndarray]], list[PersonMask | None]]:
    """Load the network; see `pipeline.backends` for what is returned."""
    if settings.mask_threshold != 0.5:
        raise ReidError("masks.mask_threshold: ultralytics has 0.5 built in; leave it at that")
    yolo = load_yolo("masks", settings)
    person = _person(yolo.names)
    sides = settings.shortest_side, settings.longest_side

    def run(images: list[np.ndarray], size: Size) -> list[PersonMask | None]:
        bgr = [np.ascontiguousarray(image[..., ::-1]) for image in images]
        with own_threads():
            results = yolo.predict(
                bgr, imgsz=size, rect=False, device=device, classes=[person], max_det=DETECTIONS,
                conf=settings.person_score, batch=len(bgr), verbose=False, save=False,
                retina_masks=True,  # masks of the image's own size
            )  # fmt: skip
        return [_mask(result) for result in results]

    def estimate(images: list[np.ndarray]) -> list[PersonMask | None]:
        return by_size(images, lambda size: padded_size(scaled_size(size, *sides), STRIDE), run)

    return estimate


def _person(names: dict[int, str]) -> int:
    """The class called person; the first of a network whose classes have no such name."""
    return next((index for index, name in names.items() if name == "person"), 0)


def _mask(result: Any) -> PersonMask | None:
    """The crop's own person, None where nobody is found."""
    if result.masks is None:
        return None
    return central_mask(result.masks.data.cpu().numpy() > 0, result.boxes.conf.cpu().numpy())
