"""Distances of features, block by block, and what features must be.

Every block is made of products of one shape, so that the size of a block changes no last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from reid.evaluation.labels import array_of
from reid.evaluation.protocol import check_name
from reid.project.errors import ReidError

Distance = Literal["cosine", "euclidean"]

DISTANCES = get_args(Distance)
TILE = 256  # rows of one matrix product: fixed, so that no `chunk` changes a last bit


@dataclass(frozen=True)
class Comparison:
    """How features are compared; `chunk` and `device` change no result.

    With `device` cuda, distances and ranks are computed there, 256 queries at a time, where a
    feature has one part.
    """

    distance: Distance = "cosine"
    parts: int = 1  # equal parts of a feature whose distances are added up, see `distance_blocks`
    chunk: int = 256  # queries at a time: memory holds chunk x G distances
    device: str = "cpu"


def distance_blocks(
    query: np.ndarray,
    gallery: np.ndarray,
    distance: Distance = "cosine",
    *,
    chunk: int = 256,
    parts: int = 1,
) -> Iterator[np.ndarray]:
    """Distances of features (Q, D) and (G, D) as float32 blocks (<= chunk, G) of consecutive rows.

    `cosine` is one minus the cosine. `euclidean` is squared: the order is the same, and no
    precision is lost to a root. Where a feature consists of `parts` equal parts side by side, such
    as those of several crops, the distances of the parts are added up; `euclidean` is then a sum of
    roots. `chunk` is rounded up to whole tiles of 256 rows; every tile is one product of the same
    shape, so a distance does not depend on `chunk`.
    """
    if parts == 1:
        yield from _whole_blocks(query, gallery, distance, chunk)
        return
    if query.shape[1] % parts:
        raise ReidError(f"features: {query.shape[1]} dimensions are not {parts} equal parts")
    sides = (np.split(np.asarray(side), parts, 1) for side in (query, gallery))
    each = [_whole_blocks(q, g, distance, chunk) for q, g in zip(*sides, strict=True)]
    for blocks in zip(*each, strict=True):
        if distance == "euclidean":
            blocks = [np.sqrt(block.clip(0)) for block in blocks]
        yield np.sum(blocks, 0)


def _whole_blocks(
    query: np.ndarray, gallery: np.ndarray, distance: Distance, chunk: int
) -> Iterator[np.ndarray]:
    query, gallery, constant = prepared(query, gallery, distance)  # (), or (G,) if euclidean
    transposed = np.ascontiguousarray(gallery).T
    rows = max(TILE, -(-chunk // TILE) * TILE)
    factor = np.float32(-1 if distance == "cosine" else -2)  # of the product; rounds nothing
    for start in range(0, len(query), rows):
        part = query[start : start + rows]
        count = len(part)
        if count % TILE:
            part = np.concatenate([part, np.zeros((-count % TILE, part.shape[1]), np.float32)])
        block = np.empty((len(part), len(gallery)), np.float32)
        scaled = part * factor
        for top in range(0, len(part), TILE):
            np.matmul(scaled[top : top + TILE], transposed, out=block[top : top + TILE])
        block += constant
        if distance == "euclidean":
            block += np.einsum("ij,ij->i", part, part)[:, None]
        yield block[:count]


def prepared(query: Any, gallery: Any, distance: str) -> tuple[Any, Any, Any]:
    """Query and gallery features of length one (cosine) or centred (euclidean), and a constant.

    A query's gallery is ordered by constant - product (cosine) or constant - 2 products
    (euclidean); the constant is () or (G,).
    """
    if query.shape[1] != gallery.shape[1]:
        raise ReidError(
            f"features: query has {query.shape[1]} dimensions, gallery has {gallery.shape[1]}"
        )
    check_name("distance", distance, DISTANCES)
    if distance == "cosine":
        return _unit(query), _unit(gallery), np.float32(1)
    centre = gallery.mean(0, dtype=np.float64).astype(np.float32)  # less is lost to cancellation
    query, gallery = query - centre, gallery - centre
    return query, gallery, np.einsum("ij,ij->i", gallery, gallery)


def _unit(feature: np.ndarray) -> np.ndarray:
    """Rows of length one; a row of zeros stays zeros."""
    length = np.sqrt(np.einsum("ij,ij->i", feature, feature, dtype=np.float64))
    return feature / np.where(length > 0, length, 1).astype(np.float32)[:, None]


def features_of(feature: Any, count: int, side: str) -> np.ndarray:
    """NumPy or torch features of `count` images as (N, D) float32; `ReidError` unless finite."""
    array = array_of(feature)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ReidError(f"{side}_feature: shape {array.shape}, must be (images, dimensions)")
    if len(array) != count:
        raise ReidError(f"{side}_feature: {len(array)} rows for {count} of {side}_person")
    if array.dtype.kind not in "fiu":
        raise ReidError(f"{side}_feature: {array.dtype}, must be numbers")
    array = np.ascontiguousarray(array, dtype=np.float32)
    # A sum is finite unless a term is not, or the terms are absurdly large: then look at each.
    if not np.isfinite(array.sum()) and not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(1))[0])
        raise ReidError(f"{side}_feature: row {row} is not finite (NaN or infinity)")
    return array
