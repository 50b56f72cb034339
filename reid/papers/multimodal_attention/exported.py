"""What the exported network takes and gives, in words."""

from __future__ import annotations

from reid.nn.caffenet import MEAN_BGR
from reid.papers.described import RGB, Described, resized
from reid.papers.multimodal_attention.params import Params


def describe(params: Params) -> Described:
    """What the exported network takes and gives."""
    size = resized(params.resized, params.resized)
    every = {
        "rgb": f"{RGB}{size}",
        "depth": f"{RGB}the column `jet` of the stage jet (depth as colours, near blue, far red), "
        f"{size}",
    }
    return Described(
        {name: every[name] for name in params.modalities},
        f"the central {params.side} x {params.side} pixels; channels turned to BGR; "
        f"(pixel - {list(MEAN_BGR)}) * {params.pixel_scale}",
        f"{params.test_feature}, as it is; a passage's images are then joined by `pool`: "
        f"{params.pool}",
    )
