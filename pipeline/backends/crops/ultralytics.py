"""People by any detection network of ultralytics: COCO's person, or a class of one's own training.

`model` is a name such as yolo11n. Frames are scaled to one longest side and padded to whole strides
of the network, so that a batch gives what single frames give.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from pipeline.backends import settings
from pipeline.backends.crops.person_box import Detected, Frame, PersonBox
from pipeline.backends.libraries.ultralytics import load_yolo, own_threads
from pipeline.backends.sizes import Size, by_size, padded_size, scaled_size
from reid.project.errors import ReidError

DETECTIONS = 32  # people kept a frame
STRIDE = 32  # inputs are multiples of it


class Settings(settings.Detector, Protocol):
    """What this backend takes from the stage's parameters."""

    @property
    def person_class(self) -> str: ...
    @property
    def longest_side(self) -> int: ...


def build(settings: Settings, device: str) -> Callable[[list[Frame]], list[Detected]]:
    """Load the network; what is returned gives the people of each frame, the surest first."""
    yolo = load_yolo("crops", settings)
    person = class_of(yolo.names, settings.person_class)
    side = settings.longest_side

    def run(images: list[np.ndarray], size: Size) -> list[list[PersonBox]]:
        bgr = [np.ascontiguousarray(image[..., ::-1]) for image in images]
        with own_threads():
            results = yolo.predict(
                bgr, imgsz=size, rect=False, device=device, classes=[person], max_det=DETECTIONS,
                conf=settings.person_score, batch=len(bgr), verbose=False, save=False,
            )  # fmt: skip
        return [boxes_of(result) for result in results]

    def find(frames: list[Frame]) -> list[Detected]:
        images = [frame.image for frame in frames]
        return by_size(images, lambda size: padded_size(scaled_size(size, side, side), STRIDE), run)

    return find


def class_of(names: dict[int, str], wanted: str) -> int:
    """The number of the class called `wanted`; '' is `person`, or the first where none is."""
    known = {name: index for index, name in names.items()}
    if wanted and wanted not in known:
        few = f"{', '.join(sorted(known)[:8])}{' ...' if len(known) > 8 else ''}"
        raise ReidError(f"crops.person_class: the network has no class `{wanted}` (it has {few})")
    return known[wanted] if wanted else known.get("person", min(names))


def boxes_of(result: Any) -> list[PersonBox]:
    """The people of one frame, in pixels of the frame."""
    corners = result.boxes.xyxy.cpu().numpy().astype(float).tolist()
    scores = result.boxes.conf.cpu().numpy().astype(float).tolist()
    return [
        PersonBox((x1, y1, x2, y2), s) for (x1, y1, x2, y2), s in zip(corners, scores, strict=True)
    ]
