"""Single gallery shot: the gallery shows one image of each person, drawn at random.

The CMC of such a gallery is itself random. It is averaged over repeated draws, as published
evaluations do, or computed exactly, see `single_shot_curves`. Equal distances keep the order of the
gallery.

Also pools the features of multi-query protocols.

Source  Li et al., CVPR 2014 (CUHK03): mean CMC over draws of one gallery image a person.
        Multi-query: Zheng et al., ICCV 2015 (Market-1501), mean and max pooling of queries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from reid.evaluation.distances import Distance, distance_blocks, features_of
from reid.evaluation.ranks import Exclude, Labels, checked_rows
from reid.evaluation.single_shot_curves import Draw, Sampling, hits_of
from reid.evaluation.single_shot_sight import Sight
from reid.project.errors import ReidError

Pool = Literal["mean", "max"]


@dataclass(frozen=True)
class SingleShot:
    """What a single-gallery-shot evaluation found. Shares are of the counted queries, 0 to 1."""

    cmc: np.ndarray  # (K,) K = the largest rank asked for; mean over repeats, or the expectation
    cmc_deviation: np.ndarray | None  # (K,) over repeats, n - 1; None: expected, or one repeat
    ranks: tuple[int, ...]  # those that `as_dict` names
    draw: Draw
    repeats: int | None  # None: expected, nothing is drawn
    seed: int | None  # None: likewise
    queries: int  # with at least one match in sight: those that count
    queries_without_match: int
    persons: int  # different ones in the gallery
    gallery: int  # entries after junk is dropped
    junk_dropped: int
    exclude: Exclude
    distance: str  # cosine, euclidean, or given
    map: None = None  # this protocol has no mAP: one match per query, and that one drawn

    def rank(self, k: int) -> float:
        """Share of queries whose match is among the first `k` persons; `k` up to K."""
        if not 1 <= k <= len(self.cmc):
            raise ReidError(f"rank {k}: this curve has ranks 1 to {len(self.cmc)}")
        return float(self.cmc[k - 1])

    @property
    def rank1(self) -> float:
        """Share of queries whose match comes first."""
        return self.rank(1)

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        deviation = self.cmc_deviation
        spread = [None] * len(self.cmc) if deviation is None else [float(one) for one in deviation]
        return {
            "protocol": "single_gallery_shot",
            **{f"rank{k}": self.rank(k) for k in self.ranks},
            **{f"rank{k}_deviation": spread[k - 1] for k in self.ranks},
            "chance_rank1": 1 / self.persons,
            "map": None,
            "average_precision": None,
            "draw": self.draw,
            "repeats": self.repeats,
            "seed": self.seed,
            "queries": self.queries,
            "queries_without_match": self.queries_without_match,
            "persons": self.persons,
            "gallery": self.gallery,
            "junk_dropped": self.junk_dropped,
            "exclude": self.exclude,
            "distance": self.distance,
            "cmc": [float(share) for share in self.cmc],
        }


def single_gallery_shot(
    query_feature: Any,
    query_person: Any,
    query_camera: Any,
    gallery_feature: Any,
    gallery_person: Any,
    gallery_camera: Any,
    *,
    distance: Distance = "cosine",
    exclude: Exclude = "same_camera",
    junk: Sequence[int] = (-1,),
    ranks: Sequence[int] = (1, 5, 10, 20),
    draw: Draw = "expected",
    repeats: int = 100,
    seed: int = 0,
) -> SingleShot:
    """Mean CMC where each query meets one gallery image a person; features (Q, D) and (G, D).

    `*_person`, `*_camera` are whole numbers (Q,) and (G,). Gallery entries of `junk` persons are
    dropped. `exclude` names what else a query does not see; `same_camera` is CUHK03's own rule
    (probes of one camera, gallery of the other), `same_person_same_camera` that of later programs.
    A person is drawn uniformly from the images that the query sees.

    `draw`: `shared`, each repeat draws once for all queries (CUHK03's own evaluation): a person
    shows all queries the same image, as far as they see it. `per_query`, each query of each repeat
    has a draw of its own (later programs). `expected`, the exact mean over all draws, the same for
    both; `repeats` and `seed` are then not used. Queries without a match do not count.

    Raises ReidError for wrong shapes, NaN, unknown names, or where no query has a match.
    """
    labels = Labels.of(query_person, query_camera, gallery_person, gallery_camera, exclude)
    query = features_of(query_feature, len(labels.query_person), "query")
    gallery = features_of(gallery_feature, len(labels.gallery_person), "gallery")
    blocks = distance_blocks(query, gallery, distance)
    sampling = Sampling.of(draw, repeats, seed, ranks)
    return _evaluate(blocks, labels, junk, sampling, distance)


def single_gallery_shot_distance(
    distance: np.ndarray | Iterable[np.ndarray],
    query_person: Any,
    query_camera: Any,
    gallery_person: Any,
    gallery_camera: Any,
    *,
    exclude: Exclude = "same_camera",
    junk: Sequence[int] = (-1,),
    ranks: Sequence[int] = (1, 5, 10, 20),
    draw: Draw = "expected",
    repeats: int = 100,
    seed: int = 0,
) -> SingleShot:
    """As `single_gallery_shot`, from distances (Q, G), or from blocks of consecutive rows of them.

    Smaller is nearer.
    """
    labels = Labels.of(query_person, query_camera, gallery_person, gallery_camera, exclude)
    blocks = [distance] if isinstance(distance, np.ndarray) else distance
    sampling = Sampling.of(draw, repeats, seed, ranks)
    return _evaluate(blocks, labels, junk, sampling, "given")


def _evaluate(
    blocks: Iterable[np.ndarray],
    labels: Labels,
    junk: Sequence[int],
    sampling: Sampling,
    distance: str,
) -> SingleShot:
    kept = labels.keep(junk)
    total, count = len(labels.gallery_person), len(labels.query_person)
    sight = Sight(labels.at(kept))
    rows = enumerate(checked_rows(blocks, count, total))
    found = (sight.query(index, row[kept]) for index, row in rows)
    queries = (query for query in found if query is not None)
    hits, counted = hits_of(queries, sight, sampling)
    if not counted:
        raise ReidError(
            "gallery: no query has a match; do persons and cameras have the right codes? Where all "
            "images are of one camera, the protocol that fits is `all_pairs`"
        )
    curves = hits / counted  # (R, K), or (1, K)
    expected = sampling.draw == "expected"
    return SingleShot(
        cmc=curves.mean(0),
        cmc_deviation=curves.std(0, ddof=1) if len(curves) > 1 else None,
        ranks=sampling.ranks,
        draw=sampling.draw,
        repeats=None if expected else sampling.repeats,
        seed=None if expected else sampling.seed,
        queries=counted,
        queries_without_match=count - counted,
        persons=len(sight.whole.persons),
        gallery=len(kept),
        junk_dropped=total - len(kept),
        exclude=labels.exclude,
        distance=distance,
    )


def pool_queries(
    feature: Any, person: Any, camera: Any, rule: Pool = "mean"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Multi-query: the features (Q, D) of one person in one camera become one query.

    Returns features (P, D) float32, persons (P,) and cameras (P,), by person, then camera. `rule`:
    each dimension's `mean` or `max`. Features are pooled as given: where images should weigh the
    same under `mean`, make them unit vectors before.
    """
    if rule not in get_args(Pool):
        raise ReidError(f"rule: no `{rule}` (there are {', '.join(get_args(Pool))})")
    labels = Labels.of(person, camera, person, camera, "none")
    feature = features_of(feature, len(labels.query_person), "query")
    order = np.lexsort((labels.query_camera, labels.query_person))
    pair = np.stack([labels.query_person, labels.query_camera])[:, order]  # (2, Q)
    new = np.r_[True, (pair[:, 1:] != pair[:, :-1]).any(0)]
    start = np.flatnonzero(new)
    if rule == "max":
        pooled = np.maximum.reduceat(feature[order], start)
    else:
        total = np.add.reduceat(feature[order].astype(np.float64), start)
        pooled = (total / np.diff(start, append=len(order))[:, None]).astype(np.float32)
    return pooled, pair[0, start], pair[1, start]
