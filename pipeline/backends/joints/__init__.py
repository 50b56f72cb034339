"""Where joints come from: the libraries' pose networks, and those that are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Poses = Callable[[list[np.ndarray]], list[np.ndarray | None]]


def _mmpose(settings: Any, device: str) -> Poses:
    from pipeline.backends.joints import mmpose

    return mmpose.build(settings, device)


def _ultralytics(settings: Any, device: str) -> Poses:
    from pipeline.backends.joints import ultralytics

    return ultralytics.build(settings, device)


def _torchvision(settings: Any, device: str) -> Poses:
    from pipeline.backends.joints import torchvision

    return torchvision.build(settings, device)


BACKENDS: dict[str, Callable[[Any, str], Poses]] = {  # by parameters and device
    "mmpose": _mmpose,
    "ultralytics": _ultralytics,
    "torchvision": _torchvision,
}
