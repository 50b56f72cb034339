"""How fast flow is at most, for its colours: measured on a data set's own training rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from reid.arrays.flow import resize_flow
from reid.papers.mutual_attention.params import Params
from reid.project.errors import ReidError

if TYPE_CHECKING:
    from reid.data.dataset import Data

SHARE = 99  # per cent of all pixels that move no faster; what moves faster is cut off
ROWS = 512  # evenly spread over the training rows
LEAST_PX = 0.05  # of a data set where nothing moves


def left_to_choose(params: Params) -> list[str]:
    """`flow_maximum_px` where it is null, and there is flow."""
    open_still = params.flow_maximum_px is None and "flow" in params.views
    return ["flow_maximum_px"] if open_still else []


def choose(params: Params, training: Callable[[list[str]], Data]) -> dict[str, Any]:
    """`flow_maximum_px` in pixels of the network's size, from the training rows' flow."""
    data = training(["flow"])
    if not len(data):
        raise ReidError("flow_maximum_px: no training row has flow; give a number of pixels")
    rows = np.unique(np.linspace(0, len(data) - 1, ROWS).astype(int)).tolist()
    speeds = [_speed(flow_px, params) for flow_px in data.values("flow", rows)]
    most = float(np.percentile(np.concatenate(speeds), SHARE))
    return {"flow_maximum_px": max(round(most, 2), LEAST_PX)}


def _speed(flow_px: np.ndarray, params: Params) -> np.ndarray:
    """(H, W, 2) to the length of each pixel's vector at the network's size, flat."""
    resized = resize_flow(flow_px, params.height, params.width)
    return np.hypot(resized[..., 0], resized[..., 1]).ravel()
