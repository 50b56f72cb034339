"""The strong baseline alone, at its own size: implicit attention without swaps.

Reads   image
Source  Luo et al., Bag of tricks and a strong baseline for deep person re-identification, CVPRW
        2019, and its published code
Differs An image is resized to the network's size, not squared first; all else is
        `reid.papers.implicit_attention.paper`. None of its printed numbers stand here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from reid.arrays.images import resize
from reid.papers.contract import Paper
from reid.papers.described import RGB, Described, mean_std, resized
from reid.papers.implicit_attention import paper as implicit_attention
from reid.papers.implicit_attention.exported import feature
from reid.papers.implicit_attention.paper import StrongBaseline


class Params(implicit_attention.Params):
    """The published code's numbers where they differ from those of implicit attention."""

    swap_probability: Literal[0] = 0  # pyright: ignore[reportIncompatibleVariableOverride]
    height: int = Field(default=256, ge=32)
    width: int = Field(default=128, ge=32)
    epochs: int = Field(default=120, ge=1)


def view(params: Params, image: np.ndarray, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """One (H, W, 3) uint8 RGB image as `image` (h, w, 3)."""
    return {"image": resize(image, params.height, params.width)}


def describe(params: implicit_attention.Params) -> Described:
    """What the exported network takes and gives."""
    image = f"{RGB}{resized(params.height, params.width)}"
    return Described({"image": image}, mean_std(params), feature(params))


PAPER: Paper[implicit_attention.Params, StrongBaseline] = replace(
    implicit_attention.PAPER,
    name="strong_baseline",
    params=Params,
    view=view,
    describe=describe,
    tables={},
    claims=(),
    built={},
)
