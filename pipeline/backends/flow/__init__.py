"""Where flow comes from: a library's networks, OpenCV's methods, and flow that is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from reid.arrays.flow import Flow

    Estimator = Callable[[list[tuple[np.ndarray, np.ndarray]]], list[Flow]]


def _ptlflow(settings: Any, device: str) -> Estimator:
    from pipeline.backends.flow import ptlflow

    return ptlflow.build(settings, device)


def _dis(settings: Any, device: str) -> Estimator:
    from pipeline.backends.flow import dis

    return dis.build(settings, device)


def _lucas_kanade(settings: Any, device: str) -> Estimator:
    from pipeline.backends.flow import lucas_kanade

    return lucas_kanade.build(settings, device)


BACKENDS: dict[str, Callable[[Any, str], Estimator]] = {  # by parameters and device
    "ptlflow": _ptlflow,
    "dis": _dis,
    "lucas_kanade": _lucas_kanade,
}
