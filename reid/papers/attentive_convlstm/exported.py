"""What the exported network takes and gives, in words."""

from __future__ import annotations

from reid.papers.attentive_convlstm.params import Params
from reid.papers.described import RGB, Described, resized


def describe(params: Params) -> Described:
    """What the exported network takes and gives."""
    size = resized(params.height, params.width)
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
