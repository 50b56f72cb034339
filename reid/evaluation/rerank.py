"""k-reciprocal re-ranking: distances that also compare the neighbours of query and gallery entry.

Memory holds only the k1 nearest of each entry and the sparse neighbour weights, never a matrix of
all against all.

Source  Zhong et al., CVPR 2017, arXiv:1701.08398, sections 3.2 to 3.5 and, for what they leave
        open, the authors' program: distances are divided by each row's largest, an entry is among
        its own neighbours, and half of k1 is rounded to even.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from reid.evaluation.distances import Distance, distance_blocks, prepared
from reid.project.errors import ReidError

# A row's largest distance is at least so much: less is rounding, of features that are all alike.
LEAST = {"cosine": 1e-6, "euclidean": 1e-12}


@dataclass(frozen=True)
class Neighbours:
    """Which neighbours count; the defaults are the paper's for Market-1501."""

    k1: int = 20  # nearest entries that may be reciprocal neighbours
    k2: int = 6  # nearest entries over which an entry's weights are averaged
    original: float = 0.3  # the equation's lambda: the share of the original distance

    def __post_init__(self) -> None:
        k1, k2, original = self.k1, self.k2, self.original
        if not 1 <= k2 <= k1 or not 0 <= original <= 1:
            raise ReidError(f"rerank: k1 {k1}, k2 {k2}, original {original}; 1 <= k2 <= k1, 0 to 1")


def rerank(
    query: np.ndarray,
    gallery: np.ndarray,
    distance: Distance = "cosine",
    neighbours: Neighbours = Neighbours(),
    chunk: int = 256,
) -> Iterator[np.ndarray]:
    """Re-ranked distances of features (Q, D) and (G, D), as blocks (<= chunk, G) of rows.

        d* = (1 - original) * Jaccard distance of the neighbour weights + original * d

    Leave junk out of the gallery; feed `metrics.evaluate_distance`. Raises `ReidError` where
    features have other dimensions, or distances are no numbers.
    """
    prepared(query[:1], gallery[:1], distance)  # raises where they do not fit
    everyone = np.concatenate([query, gallery]).astype(np.float32)  # (N, D)
    k1, original = min(neighbours.k1, len(everyone) - 1), neighbours.original
    nearest, largest = _nearest(everyone, distance, k1 + 1, chunk)
    weights = _weights(everyone, distance, nearest, largest, k1)
    weights = _mean_of(nearest[:, : min(neighbours.k2, k1 + 1)]) @ weights
    count = len(query)
    query_weights, gallery_weights = weights[:count].tocsr(), weights[count:].tocsc()
    start = 0
    blocks = distance_blocks(everyone[:count], everyone[count:], distance, chunk=chunk)
    for block in blocks:
        block *= (original / largest[start : start + len(block)])[:, None]
        for row in block:
            row += (1 - original) * _jaccard(query_weights, gallery_weights, start)
            start += 1
        yield block


def _nearest(
    everyone: np.ndarray, distance: Distance, count: int, chunk: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each entry's nearest (N, count), itself first, and its largest distance (N,)."""
    nearest = np.empty((len(everyone), count), dtype=np.int64)
    largest = np.empty(len(everyone), dtype=np.float32)
    index = 0
    for block in distance_blocks(everyone, everyone, distance, chunk=chunk):
        for row in block:
            largest[index] = max(row.max(), LEAST[distance])  # NaN where any is
            if not np.isfinite(largest[index]):
                raise ReidError(f"distance: row {index} is not finite (NaN or infinity)")
            row[index] = -np.inf
            limit = np.partition(row, count - 1)[count - 1]
            near = np.flatnonzero(row <= limit)
            nearest[index] = near[np.argsort(row[near], kind="stable")][:count]
            index += 1
    return nearest, largest


def _reciprocal(nearest: np.ndarray, k: int) -> np.ndarray:
    """(N, k + 1) bool: which of an entry's k nearest (and itself) have it among their own k."""
    mutual = np.empty((len(nearest), k + 1), dtype=bool)
    for start in range(0, len(nearest), 1024):  # bounds memory
        rows = np.arange(start, min(start + 1024, len(nearest)))
        back = nearest[nearest[rows, : k + 1], : k + 1]  # (rows, k + 1, k + 1)
        mutual[rows] = (back == rows[:, None, None]).any(2)
    return mutual


def _weights(
    everyone: np.ndarray, distance: Distance, nearest: np.ndarray, largest: np.ndarray, k1: int
) -> Any:
    """Gaussian weights of the expanded reciprocal neighbours, (N, N) csr_array, rows sum to one."""
    from scipy.sparse import csr_array

    half = round(k1 / 2)
    mutual, closer = _reciprocal(nearest, k1), _reciprocal(nearest, half)
    ready, _, _ = prepared(everyone, everyone, distance)
    columns, values = [], []
    for index, feature in enumerate(ready):
        own = nearest[index][mutual[index]]
        near, mutual_near = nearest[own, : half + 1], closer[own]  # (R, half + 1)
        shared = (np.isin(near, own) & mutual_near).sum(1)
        add = shared > 2 / 3 * mutual_near.sum(1)
        members = np.unique(np.concatenate([own, near[add][mutual_near[add]]]))
        if distance == "cosine":
            apart = (1 - ready[members] @ feature).clip(0)  # of equal ones -6e-8, by rounding
        else:
            apart = ((ready[members] - feature) ** 2).sum(1)
        weight = np.exp(-apart / largest[index])
        columns.append(members)
        values.append(weight / weight.sum())
    ends = np.cumsum([0] + [len(part) for part in columns])
    shape = (len(everyone), len(everyone))
    return csr_array((np.concatenate(values), np.concatenate(columns), ends), shape=shape)


def _mean_of(nearest: np.ndarray) -> Any:
    """The (N, N) csr_array that takes each entry to the mean of its `nearest` (N, k)."""
    from scipy.sparse import csr_array

    count, k = nearest.shape
    values = np.full(count * k, 1 / k, dtype=np.float32)
    ends = np.arange(0, count * k + 1, k)
    return csr_array((values, nearest.ravel(), ends), shape=(count, count))


def _jaccard(query_weights: Any, gallery_weights: Any, query: int) -> np.ndarray:
    """1 - sum min / sum max of a query's weights and each gallery entry's, (G,)."""
    neighbours = slice(query_weights.indptr[query], query_weights.indptr[query + 1])
    shared = gallery_weights[:, query_weights.indices[neighbours]]  # (G, members), sparse
    query_values = np.repeat(query_weights.data[neighbours], np.diff(shared.indptr))
    least = np.minimum(query_values, shared.data)
    both = np.bincount(shared.indices, weights=least, minlength=gallery_weights.shape[0])
    return 1 - both / (2 - both)  # both rows sum to one: sum max = 2 - sum min
