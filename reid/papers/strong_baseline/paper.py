"""The strong baseline alone, at its own size: implicit attention without swaps.

Reads   image
Source  Luo et al., Bag of tricks and a strong baseline for deep person re-identification, CVPRW
        2019, and its published code
Differs An image is resized to the network's size, not squared first; all else is
        `reid.papers.implicit_attention.paper`. None of its printed numbers stand here.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from reid.arrays.images import resize
from reid.papers.implicit_attention import paper as implicit_attention
from reid.papers.implicit_attention.paper import COLUMNS as COLUMNS
from reid.papers.implicit_attention.paper import STAGES as STAGES
from reid.papers.implicit_attention.paper import TEST_ONLY as TEST_ONLY
from reid.papers.implicit_attention.paper import VERSION as VERSION
from reid.papers.implicit_attention.paper import augment as augment
from reid.papers.implicit_attention.paper import build as build
from reid.papers.implicit_attention.paper import embed as embed
from reid.papers.implicit_attention.paper import learning_rate as learning_rate
from reid.papers.implicit_attention.paper import loss as loss
from reid.papers.implicit_attention.paper import normalize as normalize
from reid.papers.implicit_attention.paper import optimizer as optimizer
from reid.papers.implicit_attention.paper import sampler as sampler
from reid.papers.implicit_attention.paper import training_logits as training_logits
from reid.papers.table import Table

HEADLINE = ""
TABLES: dict[Any, Table] = {}


class Params(implicit_attention.Params):
    """The published code's numbers where they differ from those of implicit attention."""

    swap_probability: Literal[0] = 0  # pyright: ignore[reportIncompatibleVariableOverride]
    height: int = Field(default=256, ge=32)
    width: int = Field(default=128, ge=32)
    epochs: int = Field(default=120, ge=1)


def view(params: Params, image: np.ndarray, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """One (H, W, 3) uint8 RGB image as `image` (h, w, 3)."""
    return {"image": resize(image, params.height, params.width)}
