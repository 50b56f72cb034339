"""CMC, mAP (by two definitions of average precision) and mINP from features or distances.

These metrics need only the ranks of the true matches, see `ranks`; memory holds one block of rows
of distances. Equal distances keep the order of the gallery.

Source  CMC and trapezoid AP: Zheng et al., ICCV 2015 (Market-1501's evaluation); rectangle AP: the
        mean of the precisions at the matches; mINP: Ye et al., arXiv:2001.04193, section 3.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reid.evaluation.distances import TILE, Comparison, distance_blocks, features_of, prepared
from reid.evaluation.labels import NO_MATCH, Labels
from reid.evaluation.protocol import AveragePrecision, Exclude, Protocol
from reid.evaluation.ranks import Ranks, checked_ranks, checked_rows, rank_matches, rank_tensor
from reid.project.errors import ReidError

CMC_LENGTH = 50
RANKS = (1, 5, 10, 20)
# Fields that `as_dict` converts or leaves out; the others are copied.
NOT_COPIED = ("cmc", "ranks", "query_average_precision", "query_first_rank")


@dataclass(frozen=True)
class Result:
    """The metrics of an evaluation. Shares are of the counted queries, 0 to 1."""

    cmc: np.ndarray  # (R,) share of queries with a match among the first 1, 2, ... R
    ranks: tuple[int, ...]  # of the CMC in `as_dict`
    average_precision: AveragePrecision  # of `map` and of `query_average_precision`
    map_rectangle: float
    map_trapezoid: float
    minp: float
    chance_rank1: float  # expected rank-1 of a random order
    queries: int  # with at least one match: those that count
    queries_without_match: int
    gallery: int  # entries after junk is dropped
    junk_dropped: int
    exclude: Exclude
    distance: str  # cosine, euclidean, or given
    query_average_precision: np.ndarray  # (Q,) NaN where no match
    query_first_rank: np.ndarray  # (Q,) 1 = the first; 0 where no match

    @property
    def map(self) -> float:
        """Mean average precision, as `average_precision` defines it."""
        return self.map_rectangle if self.average_precision == "rectangle" else self.map_trapezoid

    def rank(self, k: int) -> float:
        """Share of queries with a match among the first `k`."""
        return float(self.cmc[min(k, len(self.cmc)) - 1])

    @property
    def rank1(self) -> float:
        """Share of queries whose first entry is a match."""
        return self.rank(1)

    def as_dict(self) -> dict[str, Any]:
        """All fields but the arrays per query, ready for JSON."""
        return {
            **{f"rank{k}": self.rank(k) for k in self.ranks},
            "map": self.map,
            **{name: value for name, value in vars(self).items() if name not in NOT_COPIED},
            "cmc": [float(share) for share in self.cmc],
        }


def evaluate(
    query: Any,
    gallery: Any,
    labels: Labels,
    protocol: Protocol,
    comparison: Comparison = Comparison(),
    ranks: Sequence[int] = RANKS,
) -> Result:
    """Rank the gallery for each query by features (Q, D) and (G, D), NumPy or torch.

    Gallery entries whose person is junk in `protocol` are dropped; `protocol.exclude` names the
    other entries that a query does not see. Queries left without a match do not count. `ranks` are
    those of the CMC in `Result.as_dict`.

    Raises ReidError for wrong shapes, NaN, unknown names, or where no query has a match.
    """
    ranks = checked_ranks(ranks)
    query = features_of(query, len(labels.query_person), "query")
    gallery = features_of(gallery, len(labels.gallery_person), "gallery")
    kept, seen = labels.without(protocol.junk)
    if len(kept) < len(gallery):
        gallery = gallery[kept]
    if comparison.device == "cpu" or comparison.parts > 1:
        blocks = _blocks(query, gallery, comparison)
        rows = checked_rows(blocks, len(query), len(gallery))
        ranked_matches = rank_matches(rows, seen, protocol.exclude)
    else:
        ranked_matches = _rank_on_device(query, gallery, seen, protocol.exclude, comparison)
    summary = _Gallery(comparison.distance, len(kept), len(labels.gallery_person) - len(kept))
    return _summarise(ranked_matches, protocol, summary, ranks)


def evaluate_distance(
    distance: np.ndarray | Iterable[np.ndarray],
    labels: Labels,
    protocol: Protocol,
    ranks: Sequence[int] = RANKS,
) -> Result:
    """As `evaluate`, from distances (Q, G), or from blocks of consecutive rows of them.

    Smaller is nearer. The matrix is read once, row by row; a memory map will do.
    """
    ranks = checked_ranks(ranks)
    total = len(labels.gallery_person)
    kept, seen = labels.without(protocol.junk)
    blocks = [distance] if isinstance(distance, np.ndarray) else distance
    rows = checked_rows(blocks, len(labels.query_person), total)
    if len(kept) < total:
        rows = (row.take(kept) for row in rows)
    summary = _Gallery("given", len(kept), total - len(kept))
    return _summarise(rank_matches(rows, seen, protocol.exclude), protocol, summary, ranks)


def ranked(
    query: Any,
    gallery: Any,
    labels: Labels,
    k: int,
    protocol: Protocol,
    comparison: Comparison = Comparison(),
) -> np.ndarray:
    """The first `k` gallery indices of each query, (Q, k) int64, nearest first.

    Indices are into the whole gallery; junk and excluded entries are not listed. A row with fewer
    than `k` entries is filled up with -1. The other arguments are those of `evaluate`.
    """
    query = features_of(query, len(labels.query_person), "query")
    gallery = features_of(gallery, len(labels.gallery_person), "gallery")
    kept, labels = labels.without(protocol.junk)
    listed = np.full((len(query), k), -1, dtype=np.int64)
    rows = (row for block in _blocks(query, gallery[kept], comparison) for row in block)
    for index, row in enumerate(rows):
        _, hidden = labels.split(index, protocol.exclude)
        nearest = _first(row, k + len(hidden))
        nearest = nearest[~np.isin(nearest, hidden)][:k]
        listed[index, : len(nearest)] = kept[nearest]
    return listed


def _blocks(query: np.ndarray, gallery: np.ndarray, by: Comparison) -> Iterable[np.ndarray]:
    return distance_blocks(query, gallery, by.distance, chunk=by.chunk, parts=by.parts)


def _first(row: np.ndarray, k: int) -> np.ndarray:
    """Indices of the `k` least values of a row, least first; equal ones in order."""
    if k < len(row):
        limit = np.partition(row, k - 1)[k - 1]
        nearest = np.flatnonzero(row <= limit)
    else:
        nearest = np.arange(len(row))
    return nearest[np.argsort(row[nearest], kind="stable")][:k]


@dataclass(frozen=True)
class _Gallery:
    """Figures of the gallery that `_summarise` reports as they are."""

    distance: str  # cosine, euclidean, or given
    entries: int  # after junk is dropped
    junk_dropped: int


def _summarise(
    matches: Ranks, protocol: Protocol, gallery: _Gallery, named: tuple[int, ...]
) -> Result:
    """All metrics from the ranks of the matches, vectorised over all queries."""
    ranks, counts, seen = matches
    counted = counts > 0
    if not counted.any():
        raise ReidError(NO_MATCH)
    query = np.repeat(np.arange(len(counts)), counts)
    ranks = ranks[np.lexsort((ranks, query))]
    average = _average_precision(ranks, counts[counted])
    start = np.cumsum(counts) - counts
    first, last = ranks[start[counted]], ranks[(start + counts)[counted] - 1]
    per_query, first_rank = np.full(len(counts), np.nan), np.zeros(len(counts), dtype=np.int64)
    per_query[counted], first_rank[counted] = average[protocol.average_precision], first
    return Result(
        cmc=_cmc(first, max(CMC_LENGTH, *named)),
        ranks=named,
        map_rectangle=float(average["rectangle"].mean()),
        map_trapezoid=float(average["trapezoid"].mean()),
        average_precision=protocol.average_precision,
        minp=float((counts[counted] / last).mean()),
        chance_rank1=float((counts / np.maximum(seen, 1))[counted].mean()),
        queries=int(counted.sum()),
        queries_without_match=int((~counted).sum()),
        gallery=gallery.entries,
        junk_dropped=gallery.junk_dropped,
        exclude=protocol.exclude,
        distance=gallery.distance,
        query_average_precision=per_query,
        query_first_rank=first_rank,
    )


def _cmc(first: np.ndarray, length: int) -> np.ndarray:
    """(length,): share of queries whose `first` match (Q,) is among the first 1, 2, ... entries."""
    hits = np.bincount(np.minimum(first, length + 1), minlength=length + 2)[1:-1]
    return np.cumsum(hits) / len(first)


def _average_precision(ranks: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Average precision (Q,) by each definition.

    `ranks` (M,) are those of all matches, ascending within each query; `counts` (Q,) says how many
    each query has. Rectangle: the mean of the precisions at the matches. Trapezoid: at each match
    the mean of its precision and of that one entry before, which is 1 before the first entry.
    """
    start = np.cumsum(counts) - counts
    nth = np.arange(len(ranks)) - np.repeat(start, counts) + 1  # 1, 2, ... within each query
    precision = nth / ranks
    just_before = np.where(ranks > 1, (nth - 1) / np.maximum(ranks - 1, 1), 1.0)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, start) / counts

    return {"rectangle": mean(precision), "trapezoid": mean((just_before + precision) / 2)}


def _rank_on_device(
    query: np.ndarray, gallery: np.ndarray, labels: Labels, exclude: Exclude, by: Comparison
) -> Ranks:
    """As `rank_matches`, but torch computes products and ranks on `by.device`, tile by tile."""
    import torch

    if torch.device(by.device).type == "cuda" and not torch.cuda.is_available():
        raise ReidError(f"device: `{by.device}`, but torch finds no CUDA device; use cpu")
    query, gallery, constant = prepared(query, gallery, by.distance)
    transposed = torch.from_numpy(np.ascontiguousarray(gallery)).to(by.device).T
    constant = torch.as_tensor(constant, device=by.device)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")  # a trainer's TF32 would move ranks
    try:
        tiles = []
        for start in range(0, len(query), TILE):
            rows = slice(start, min(start + TILE, len(query)))
            product = torch.from_numpy(query[rows]).to(by.device) @ transposed
            block = constant - (1 if by.distance == "cosine" else 2) * product
            tiles.append(rank_tensor(block, labels, exclude, rows))
    finally:
        torch.set_float32_matmul_precision(precision)
    ranks, counts, seen = (np.concatenate(parts) for parts in zip(*tiles, strict=True))
    return ranks, counts, seen


def mean_metrics(
    feature: np.ndarray, person: np.ndarray, camera: np.ndarray, distance: Any, parts: int = 1
) -> tuple[float, float]:
    """Rank-1 and mAP of features (N, D) searched among themselves, across cameras."""
    labels, protocol = Labels.of(person, camera, person, camera), Protocol(junk=(-1,))
    comparison = Comparison(distance, parts)
    result = evaluate(feature, feature, labels, protocol, comparison)
    return result.rank1, result.map
