"""What the exported network takes and gives, in words."""

from __future__ import annotations

from reid.papers.described import RGB, Described, mean_std, resized
from reid.papers.implicit_attention.params import Params


def feature(params: Params) -> str:
    """What comes out."""
    length = "of length 1" if params.normalize_features else "as it is"
    return f"{params.test_feature}, {length}"


def describe(params: Params) -> Described:
    """What the exported network takes and gives."""
    image = (
        f"{RGB}scaled until the longer side is {params.side} (INTER_AREA where it shrinks, else "
        "INTER_CUBIC), its edge repeated on both sides of the other to a square, the odd pixel "
        f"last, {resized(params.height, params.width)}"
    )
    return Described({"image": image}, mean_std(params), feature(params))
