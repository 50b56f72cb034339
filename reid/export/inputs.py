"""In words, what an exported network of each paper takes and gives: for whoever runs it elsewhere.

A paper's `view` makes the inputs; its `normalize` and `embed` are part of what is exported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from reid.nn.caffenet import MEAN_BGR

RESIZED = (
    "resized to {height} x {width} (height x width) by OpenCV: INTER_AREA where neither side "
    "grows, else INTER_LINEAR"
)
RGB = "levels 0 to 255, RGB, rows from the top: "


class Described(NamedTuple):
    """One paper's network at some parameters."""

    inputs: dict[str, str]  # by name: how it is made
    inside: str  # what the exported program does with them first
    feature: str  # what comes out


def describe(paper: str, params: Any) -> Described:
    """The words for a paper's network."""
    return PAPERS[paper](params)


def _resized(height: int, width: int) -> str:
    return RESIZED.format(height=height, width=width)


def _mean_std(params: Any) -> str:
    return f"(pixel / 255 - mean) / std, mean {list(params.mean)}, std {list(params.std)}"


def _attention_driven(params: Any) -> Described:
    boxes = (
        "the whole image; its four equal horizontal strips"
        if params.model == "baseline"
        else "the column `parts` of the stage parts: box 0; boxes 1 to 4 (head, upper body, upper "
        "leg, lower leg), x1, y1, x2, y2 rounded to pixels, the image's edge repeated outside"
    )
    whole, parts = boxes.split("; ", 1) if params.model == "baseline" else (boxes, boxes)
    size = _resized(params.part_height, params.part_width)
    lengths = "whole body and parts of length 1 each" if params.normalize_features else "as it is"
    return Described(
        {
            "whole": f"{RGB}{whole}, {_resized(params.height, params.width)}",
            "parts": f"{RGB}{parts}, {size}",
        },
        "(pixel - mean) / 255, mean: `channel_mean`",
        f"{params.test_feature}, {lengths if params.test_feature == 'fused' else 'as it is'}",
    )


def _baseline_feature(params: Any) -> str:
    length = "of length 1" if params.normalize_features else "as it is"
    return f"{params.test_feature}, {length}"


def _implicit_attention(params: Any) -> Described:
    image = (
        f"{RGB}scaled until the longer side is {params.side} (INTER_AREA where it shrinks, else "
        "INTER_CUBIC), its edge repeated on both sides of the other to a square, the odd pixel "
        f"last, {_resized(params.height, params.width)}"
    )
    return Described({"image": image}, _mean_std(params), _baseline_feature(params))


def _strong_baseline(params: Any) -> Described:
    image = f"{RGB}{_resized(params.height, params.width)}"
    return Described({"image": image}, _mean_std(params), _baseline_feature(params))


def _multimodal_attention(params: Any) -> Described:
    size = _resized(params.resized, params.resized)
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


def _mutual_attention(params: Any) -> Described:
    flow = (
        "64 times the optical flow to the next frame in pixels of the resized frame, to the right "
        f"and down, rounded; {_resized(params.height, params.width)}, u and v then scaled by the "
        "change of width and of height"
    )
    every = {"image": f"{RGB}{_resized(params.height, params.width)}", "flow": flow}
    views = {name: every[name] for name in params.views}
    inside = f"image: {_mean_std(params)}"
    if "flow" in views:
        inside += f"; flow as {params.flow_view}, cut off at {params.flow_maximum_px} pixels"
    return Described(
        views, inside,
        "as it is; a tracklet's is the mean of its clips': consecutive frames, the last clip's "
        "repeated cyclically",
    )  # fmt: skip


def _attentive_convlstm(params: Any) -> Described:
    size = _resized(params.height, params.width)
    windows = (params.test_crops * (2 if params.test_flips else 1), params.feature)
    return Described(
        {
            "image": f"{RGB}{size}",
            "flow": "64 times the optical flow to the next frame in pixels of the original frame, "
            f"to the right and down, cut off at -127 and 128, {size} and not scaled, rounded",
        },
        "Y, U, V and flow, each channel of each frame less its mean and divided by the root of "
        f"its standard deviation (`std_root`: {params.std_root}); crops and flips",
        f"{windows[0]} features of {windows[1]} values of length 1, side by side; two tracklets' "
        f"distance is the sum of these {windows[0]} distances; of a tracklet a query's first "
        f"{params.test_length} frames are one clip, a gallery's last",
    )


PAPERS: dict[str, Callable[[Any], Described]] = {
    "attention_driven": _attention_driven,
    "implicit_attention": _implicit_attention,
    "strong_baseline": _strong_baseline,
    "multimodal_attention": _multimodal_attention,
    "mutual_attention": _mutual_attention,
    "attentive_convlstm": _attentive_convlstm,
}
