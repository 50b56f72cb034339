"""Flow by OpenCV's dense inverse search. Needs no weights.

`model` is one of its presets, ultrafast, fast or medium; flow is dense, and known everywhere.
Source  Kroeger et al., Fast optical flow using dense inverse search, ECCV 2016
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import cv2
import numpy as np

from reid.arrays.flow import Flow
from reid.project.errors import ReidError

PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
DEFAULT_MODEL = "medium"
WIDE = 2  # times its height: OpenCV halves frames by their width alone, and crashes on low ones


class Settings(Protocol):
    """What this backend takes from the stage's parameters."""

    @property
    def model(self) -> str: ...


class Searcher:
    """Dense inverse search over pairs, in as many threads as OpenCV may use."""

    def __init__(self, preset: int):
        self.preset = preset
        self.of_thread = threading.local()  # a search keeps its buffers, so each thread has its own

    def __call__(self, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[Flow]:
        with ThreadPoolExecutor(max(1, cv2.getNumThreads())) as pool:
            return list(pool.map(self._flow, pairs))

    def _flow(self, pair: tuple[np.ndarray, np.ndarray]) -> Flow:
        gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in pair]
        height, width = gray[0].shape
        if width <= WIDE * height:
            flow_px = self._search(*gray)
        else:
            turned = self._search(*(np.ascontiguousarray(frame.T) for frame in gray))
            flow_px = np.ascontiguousarray(turned.swapaxes(0, 1)[..., ::-1])
        return Flow(flow_px, np.ones((height, width), bool))

    def _search(self, first: np.ndarray, following: np.ndarray) -> np.ndarray:
        if not hasattr(self.of_thread, "search"):
            self.of_thread.search = cv2.DISOpticalFlow.create(self.preset)
        search: Any = self.of_thread.search
        return search.calc(first, following, None)


def build(settings: Settings, device: str) -> Searcher:
    """Choose the preset; see `pipeline.backends` for what is returned."""
    del device
    name = settings.model or DEFAULT_MODEL
    if name not in PRESETS:
        raise ReidError(f"flow.model: DIS has no preset `{name}` (it has {', '.join(PRESETS)})")
    return Searcher(PRESETS[name])
