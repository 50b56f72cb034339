"""What the exported network takes and gives, in words."""

from __future__ import annotations

from reid.papers.attention_driven.params import Params
from reid.papers.described import RGB, Described, resized


def describe(params: Params) -> Described:
    """What the exported network takes and gives."""
    boxes = (
        "the whole image; its four equal horizontal strips"
        if params.model == "baseline"
        else "the column `parts` of the stage parts: box 0; boxes 1 to 4 (head, upper body, upper "
        "leg, lower leg), x1, y1, x2, y2 rounded to pixels, the image's edge repeated outside"
    )
    whole, parts = boxes.split("; ", 1) if params.model == "baseline" else (boxes, boxes)
    size = resized(params.part_height, params.part_width)
    joined = params.normalize_features and params.joined != "fc"
    lengths = "whole body and parts of length 1 each" if joined else "as it is"
    return Described(
        {
            "whole": f"{RGB}{whole}, {resized(params.height, params.width)}",
            "parts": f"{RGB}{parts}, {size}",
        },
        "(pixel - mean) / 255, mean: `channel_mean`",
        f"{params.test_feature}, {lengths if params.test_feature == 'fused' else 'as it is'}",
    )
