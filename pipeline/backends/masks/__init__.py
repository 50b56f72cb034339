"""Where masks come from: the libraries' segmentation networks, and those that are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from pipeline.backends.masks.person_mask import PersonMask

    Segmenter = Callable[[list[np.ndarray]], list[PersonMask | None]]


def _torchvision(settings: Any, device: str) -> Segmenter:
    from pipeline.backends.masks import torchvision

    return torchvision.build(settings, device)


def _detectron2(settings: Any, device: str) -> Segmenter:
    from pipeline.backends.masks import detectron2

    return detectron2.build(settings, device)


def _ultralytics(settings: Any, device: str) -> Segmenter:
    from pipeline.backends.masks import ultralytics

    return ultralytics.build(settings, device)


BACKENDS: dict[str, Callable[[Any, str], Segmenter]] = {  # by parameters and device
    "torchvision": _torchvision,
    "detectron2": _detectron2,
    "ultralytics": _ultralytics,
}
