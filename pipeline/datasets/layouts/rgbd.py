"""What the writers of colour and depth frames share: the bytes of a sample's two frames."""

from __future__ import annotations

import numpy as np

from pipeline.datasets.base import Sample
from reid.arrays.images import BadImage, encode_png, kind_of, size_of
from reid.project.errors import ReidError

ENDINGS = {"jpeg": "jpg", "png": "png"}


def colour_of(sample: Sample) -> tuple[str, bytes]:
    """A sample's colour frame as (ending, bytes): its own encoded bytes, else PNG."""
    if sample.encoded is None:
        return "png", encode_png(sample.image)
    try:
        size_of(sample.encoded)
        return ENDINGS[kind_of(sample.encoded)], sample.encoded
    except BadImage as error:
        raise ReidError(f"person {sample.person}: encoded bytes: {error}") from None


def depth_of(sample: Sample) -> np.ndarray:
    """A sample's depth, (H, W) uint16 millimetres; `ReidError` where it does not fit its image."""
    depth = sample.depth_mm
    if depth is None or depth.dtype != np.uint16 or depth.ndim != 2:
        kind = "none" if depth is None else f"{depth.dtype} {depth.shape}"
        raise ReidError(f"person {sample.person}: depth must be (H, W) uint16 millimetres: {kind}")
    encoded = sample.encoded
    size = sample.image.shape[:2] if encoded is None else size_of(colour_of(sample)[1])
    if depth.shape != size:
        raise ReidError(f"person {sample.person}: depth is {depth.shape}, its image {size}")
    return depth
