"""How the strong baseline is computed: as implicit attention is, from images of its own size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from reid.arrays.images import resize
from reid.papers.contract import Method
from reid.papers.described import RGB, Described, mean_std, resized
from reid.papers.implicit_attention import method as implicit_attention
from reid.papers.implicit_attention.exported import feature
from reid.papers.implicit_attention.network import StrongBaseline
from reid.papers.implicit_attention.params import Params


def view(params: Params, image: np.ndarray, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """One (H, W, 3) uint8 RGB image as `image` (h, w, 3)."""
    return {"image": resize(image, params.height, params.width)}


def describe(params: Params) -> Described:
    """What the exported network takes and gives."""
    image = f"{RGB}{resized(params.height, params.width)}"
    return Described({"image": image}, mean_std(params), feature(params))


METHOD: Method[Params, StrongBaseline] = replace(
    implicit_attention.METHOD, view=view, describe=describe
)
