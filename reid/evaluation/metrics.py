"""CMC, mAP (both rules) and mINP from features or distances, without sorting the gallery.

All that these measures need are the ranks of the true matches, and a match's rank is the number
of kept gallery entries before it. So each row of distances is compared with its few matches;
memory holds one block of rows. Equal distances keep the order of the gallery.

Source  CMC and trapezoid AP: Zheng et al., ICCV 2015 (Market-1501's evaluation); rectangle AP: the
        mean of the precisions at the matches; mINP: Ye et al., arXiv:2001.04193, section 3.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from reid.evaluation.distances import TILE, Distance, distance_blocks, features_of, prepared
from reid.evaluation.ranks import Exclude, Labels, Ranks, rank_matches, rank_tensor
from reid.project.errors import ReidError

AveragePrecision = Literal["rectangle", "trapezoid"]

AVERAGE_PRECISION = ("rectangle", "trapezoid")
CMC_LENGTH = 50


@dataclass(frozen=True)
class Result:
    """What an evaluation found. Shares are of the counted queries, 0 to 1."""

    cmc: np.ndarray  # (R,) share of queries with a match among the first 1, 2, ... R
    ranks: tuple[int, ...]  # those that `as_dict` names
    map_rectangle: float
    map_trapezoid: float
    average_precision: AveragePrecision  # the main one: `map` and `query_average_precision`
    minp: float
    chance_rank1: float  # expected rank 1 of a random order
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
        """Mean average precision by the main rule."""
        return self.map_rectangle if self.average_precision == "rectangle" else self.map_trapezoid

    def rank(self, k: int) -> float:
        """Share of queries with a match among the first `k`."""
        return float(self.cmc[min(k, len(self.cmc)) - 1])

    @property
    def rank1(self) -> float:
        """Share of queries whose first entry is a match."""
        return self.rank(1)

    def as_dict(self) -> dict[str, Any]:
        """All but the arrays per query, ready for JSON."""
        return {
            **{f"rank{k}": self.rank(k) for k in self.ranks},
            "map": self.map,
            "average_precision": self.average_precision,
            "map_rectangle": self.map_rectangle,
            "map_trapezoid": self.map_trapezoid,
            "minp": self.minp,
            "chance_rank1": self.chance_rank1,
            "queries": self.queries,
            "queries_without_match": self.queries_without_match,
            "gallery": self.gallery,
            "junk_dropped": self.junk_dropped,
            "exclude": self.exclude,
            "distance": self.distance,
            "cmc": [float(share) for share in self.cmc],
        }


def evaluate(
    query_feature: Any,
    query_person: Any,
    query_camera: Any,
    gallery_feature: Any,
    gallery_person: Any,
    gallery_camera: Any,
    *,
    distance: Distance = "cosine",
    junk: Sequence[int] = (-1,),
    exclude: Exclude = "same_person_same_camera",
    ranks: Sequence[int] = (1, 5, 10, 20),
    average_precision: AveragePrecision = "rectangle",
    chunk: int = 256,
    parts: int = 1,
    device: str = "cpu",
) -> Result:
    """Rank the gallery for each query by features (Q, D) and (G, D), NumPy or torch.

    `*_person`, `*_camera` are whole numbers (Q,) and (G,). Gallery entries whose person is in
    `junk` are dropped; `exclude` names what else a query does not see: the gallery's entries of
    its `same_person_same_camera`, or of its `same_camera` (cross-camera only), or `none`.
    Queries left without a match do not count. `chunk` queries are ranked at a time: memory holds
    chunk x G distances, and no `chunk` changes the result. `parts` as in `distance_blocks`. With
    `device` cuda all of it runs there, 256 queries at a time, but for features of several parts.

    Raises ReidError for wrong shapes, NaN, unknown names, or where no query has a match.
    """
    labels = Labels.of(query_person, query_camera, gallery_person, gallery_camera, exclude)
    query = features_of(query_feature, len(labels.query_person), "query")
    gallery = features_of(gallery_feature, len(labels.gallery_person), "gallery")
    kept = labels.keep(junk)
    if len(kept) < len(gallery):
        gallery = gallery[kept]
    settings = _Settings.of(distance, ranks, average_precision, len(labels.gallery_person))
    labels = labels.at(kept)
    if device == "cpu" or parts > 1:
        blocks = distance_blocks(query, gallery, distance, chunk=chunk, parts=parts)
        found = rank_matches(blocks, labels)
    else:
        found = _rank_on_device(query, gallery, distance, labels, device)
    return _summarise(*found, labels, settings)


def evaluate_distance(
    distance: np.ndarray | Iterable[np.ndarray],
    query_person: Any,
    query_camera: Any,
    gallery_person: Any,
    gallery_camera: Any,
    *,
    junk: Sequence[int] = (-1,),
    exclude: Exclude = "same_person_same_camera",
    ranks: Sequence[int] = (1, 5, 10, 20),
    average_precision: AveragePrecision = "rectangle",
) -> Result:
    """As `evaluate`, from distances (Q, G), or from blocks of consecutive rows of them.

    Smaller is nearer. The matrix is read once, never copied or sorted; a memory map will do.
    """
    labels = Labels.of(query_person, query_camera, gallery_person, gallery_camera, exclude)
    settings = _Settings.of("given", ranks, average_precision, len(labels.gallery_person))
    blocks = [distance] if isinstance(distance, np.ndarray) else distance
    kept = labels.keep(junk)
    columns = kept if len(kept) < settings.gallery else None
    labels = labels.at(kept)
    return _summarise(*rank_matches(blocks, labels, columns, settings.gallery), labels, settings)


def ranked(
    query_feature: Any,
    query_person: Any,
    query_camera: Any,
    gallery_feature: Any,
    gallery_person: Any,
    gallery_camera: Any,
    k: int,
    *,
    distance: Distance = "cosine",
    junk: Sequence[int] = (-1,),
    exclude: Exclude = "same_person_same_camera",
    chunk: int = 256,
    parts: int = 1,
) -> np.ndarray:
    """The first `k` gallery indices of each query, (Q, k) int64, nearest first.

    Indices count the whole gallery as given; junk and excluded entries are not listed. Filled up
    with -1 where fewer than `k` are kept. Arguments as in `evaluate`.
    """
    labels = Labels.of(query_person, query_camera, gallery_person, gallery_camera, exclude)
    query = features_of(query_feature, len(labels.query_person), "query")
    gallery = features_of(gallery_feature, len(labels.gallery_person), "gallery")
    kept = labels.keep(junk)
    labels = labels.at(kept)
    listed = np.full((len(query), k), -1, dtype=np.int64)
    rows = (
        row
        for block in distance_blocks(query, gallery[kept], distance, chunk=chunk, parts=parts)
        for row in block
    )
    for index, row in enumerate(rows):
        seen = np.flatnonzero(~labels.excluded(index))
        nearest = _first(row[seen], k)
        listed[index, : len(nearest)] = kept[seen[nearest]]
    return listed


@dataclass(frozen=True)
class _Settings:
    distance: str
    ranks: tuple[int, ...]
    average_precision: AveragePrecision
    gallery: int  # before junk is dropped

    @classmethod
    def of(cls, distance, ranks, average_precision, gallery) -> _Settings:
        if average_precision not in AVERAGE_PRECISION:
            known = ", ".join(AVERAGE_PRECISION)
            raise ReidError(f"average_precision: no `{average_precision}` (there are {known})")
        if not ranks or min(ranks) < 1:
            raise ReidError(f"ranks: {tuple(ranks)}, must be whole numbers from 1")
        return cls(distance, tuple(ranks), average_precision, gallery)


def _first(row: np.ndarray, k: int) -> np.ndarray:
    """Indices of the `k` least of a row, least first, ties in order."""
    if k < len(row):
        limit = np.partition(row, k - 1)[k - 1]
        nearest = np.flatnonzero(row <= limit)
    else:
        nearest = np.arange(len(row))
    return nearest[np.argsort(row[nearest], kind="stable")][:k]


def _summarise(
    ranks: np.ndarray, counts: np.ndarray, seen: np.ndarray, labels: Labels, settings: _Settings
) -> Result:
    """All measures from the ranks of the matches, vectorised over all queries."""
    counted = counts > 0
    if not counted.any():
        raise ReidError(
            "gallery: no query has a match; do persons and cameras have the right codes? Where all "
            "images are of one camera, the protocol that fits is `all_pairs`"
        )
    query = np.repeat(np.arange(len(counts)), counts)
    ranks = ranks[np.lexsort((ranks, query))]
    start = np.cumsum(counts) - counts
    nth = np.arange(len(ranks)) - start[query] + 1  # 1, 2, ... within each query
    precision = nth / ranks
    just_before = np.where(ranks > 1, (nth - 1) / np.maximum(ranks - 1, 1), 1.0)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, start[counted]) / counts[counted]

    average = {"rectangle": mean(precision), "trapezoid": mean((just_before + precision) / 2)}
    first = ranks[start[counted]]
    last = ranks[(start + counts)[counted] - 1]
    length = max(CMC_LENGTH, *settings.ranks)
    hits = np.bincount(np.minimum(first, length + 1), minlength=length + 2)[1:-1]
    per_query = np.full(len(counts), np.nan)
    per_query[counted] = average[settings.average_precision]
    first_rank = np.zeros(len(counts), dtype=np.int64)
    first_rank[counted] = first
    return Result(
        cmc=np.cumsum(hits) / counted.sum(),
        ranks=settings.ranks,
        map_rectangle=float(average["rectangle"].mean()),
        map_trapezoid=float(average["trapezoid"].mean()),
        average_precision=settings.average_precision,
        minp=float((counts[counted] / last).mean()),
        chance_rank1=float((counts / np.maximum(seen, 1))[counted].mean()),
        queries=int(counted.sum()),
        queries_without_match=int((~counted).sum()),
        gallery=len(labels.gallery_person),
        junk_dropped=settings.gallery - len(labels.gallery_person),
        exclude=labels.exclude,
        distance=settings.distance,
        query_average_precision=per_query,
        query_first_rank=first_rank,
    )


def _rank_on_device(
    query: np.ndarray, gallery: np.ndarray, distance: str, labels: Labels, device: str
) -> Ranks:
    """As `rank_matches`, product and all by torch on `device`, tile by tile."""
    import torch

    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ReidError(f"device: `{device}`, but torch finds no CUDA device; use cpu")
    query, gallery, constant = prepared(query, gallery, distance)
    transposed = torch.from_numpy(np.ascontiguousarray(gallery)).to(device).T
    constant = torch.as_tensor(constant, device=device)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")  # a trainer's TF32 would move ranks
    try:
        found = []
        for start in range(0, len(query), TILE):
            rows = slice(start, min(start + TILE, len(query)))
            product = torch.from_numpy(query[rows]).to(device) @ transposed
            block = constant - (1 if distance == "cosine" else 2) * product
            found.append(rank_tensor(block, labels, rows))
    finally:
        torch.set_float32_matmul_precision(precision)
    ranks, counts, seen = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return ranks, counts, seen
