"""What the exported network takes and gives, in words."""

from __future__ import annotations

from reid.papers.described import RGB, Described, mean_std, resized
from reid.papers.mutual_attention.params import Params


def describe(params: Params) -> Described:
    """What the exported network takes and gives."""
    flow = (
        "64 times the optical flow to the next frame in pixels of the resized frame, to the right "
        f"and down, rounded; {resized(params.height, params.width)}, u and v then scaled by the "
        "change of width and of height"
    )
    every = {"image": f"{RGB}{resized(params.height, params.width)}", "flow": flow}
    views = {name: every[name] for name in params.views}
    inside = f"image: {mean_std(params)}"
    if "flow" in views:
        inside += f"; flow as {params.flow_view}, cut off at {params.flow_most_px} pixels"
    return Described(
        views, inside,
        "as it is; a tracklet's is the mean of its clips': consecutive frames, the last clip's "
        "repeated cyclically",
    )  # fmt: skip
