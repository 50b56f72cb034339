"""In words, what a paper's exported network takes and gives: for whoever runs it elsewhere.

A paper's `view` makes the inputs; its `normalize` and `embed` are part of what is exported.
"""

from __future__ import annotations

from typing import Any, NamedTuple

RGB = "levels 0 to 255, RGB, rows from the top: "


class Described(NamedTuple):
    """A network at some parameters."""

    inputs: dict[str, str]  # by name: how it is made
    inside: str  # what the exported program does with them first
    feature: str  # what comes out


def resized(height: int, width: int) -> str:
    """How `reid.arrays.images.resize` makes an image of that size."""
    return (
        f"resized to {height} x {width} (height x width) by OpenCV: INTER_AREA where neither side "
        "grows, else INTER_LINEAR"
    )


def mean_std(params: Any) -> str:
    """How levels are normalised by the parameters `mean` and `std`."""
    return f"(pixel / 255 - mean) / std, mean {list(params.mean)}, std {list(params.std)}"
