"""Single gallery shot: the gallery shows one image of each person, drawn at random.

The CMC of such a gallery is itself random. It is averaged over repeated draws, as published
evaluations do, or computed exactly, see `single_shot_curves`. Equal distances keep the order of the
gallery.

Source  Li et al., CVPR 2014 (CUHK03): mean CMC over draws of one gallery image a person.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from reid.evaluation.distances import Comparison, distance_blocks, features_of
from reid.evaluation.labels import NO_MATCH, Labels
from reid.evaluation.protocol import Exclude, Protocol
from reid.evaluation.ranks import checked_rows
from reid.evaluation.single_shot_curves import Draw, Sampling, hits_of
from reid.evaluation.single_shot_sight import Sight
from reid.project.errors import ReidError

# Fields that `as_dict` converts or leaves out; the others are copied.
NOT_COPIED = ("cmc", "cmc_deviation", "ranks", "map")


@dataclass(frozen=True)
class SingleShot:
    """The metrics of a single gallery shot. Shares are of the counted queries, 0 to 1."""

    cmc: np.ndarray  # (K,) K = the largest rank asked for; mean over repeats, or the expectation
    cmc_deviation: np.ndarray | None  # (K,) over repeats, n - 1; None: expected, or one repeat
    ranks: tuple[int, ...]  # of the CMC in `as_dict`
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
        """All fields, ready for JSON."""
        deviation = self.cmc_deviation
        spread = [None] * len(self.cmc) if deviation is None else [float(one) for one in deviation]
        return {
            "protocol": "single_gallery_shot",
            **{f"rank{k}": self.rank(k) for k in self.ranks},
            **{f"rank{k}_deviation": spread[k - 1] for k in self.ranks},
            "chance_rank1": 1 / self.persons,
            "map": None,
            "average_precision": None,
            **{name: value for name, value in vars(self).items() if name not in NOT_COPIED},
            "cmc": [float(share) for share in self.cmc],
        }


def single_gallery_shot(
    query: Any,
    gallery: Any,
    labels: Labels,
    protocol: Protocol,
    comparison: Comparison = Comparison(),
    sampling: Sampling = Sampling(),
) -> SingleShot:
    """Mean CMC where a query sees one gallery image of each person; features (Q, D) and (G, D).

    Gallery entries whose person is junk in `protocol` are dropped. `protocol.exclude` names the
    other entries that a query does not see: `same_camera` is CUHK03's own protocol (queries of one
    camera, gallery of the other), `same_person_same_camera` that of later programs. A person's
    image is drawn uniformly from those that the query sees. Queries without a match do not count.
    It is always computed on the CPU.

    Raises ReidError for wrong shapes, NaN, unknown names, or where no query has a match.
    """
    query = features_of(query, len(labels.query_person), "query")
    gallery = features_of(gallery, len(labels.gallery_person), "gallery")
    blocks = distance_blocks(
        query, gallery, comparison.distance, chunk=comparison.chunk, parts=comparison.parts
    )
    return _evaluate(blocks, labels, protocol, sampling, comparison.distance)


def single_gallery_shot_distance(
    distance: np.ndarray | Iterable[np.ndarray],
    labels: Labels,
    protocol: Protocol,
    sampling: Sampling = Sampling(),
) -> SingleShot:
    """As `single_gallery_shot`, from distances (Q, G), or from blocks of consecutive rows of them.

    Smaller is nearer.
    """
    blocks = [distance] if isinstance(distance, np.ndarray) else distance
    return _evaluate(blocks, labels, protocol, sampling, "given")


def _evaluate(
    blocks: Iterable[np.ndarray],
    labels: Labels,
    protocol: Protocol,
    sampling: Sampling,
    distance: str,
) -> SingleShot:
    kept, seen = labels.without(protocol.junk)
    total, count = len(labels.gallery_person), len(labels.query_person)
    sight = Sight(seen, protocol.exclude)
    rows = enumerate(checked_rows(blocks, count, total))
    queries = (sight.query(index, row[kept]) for index, row in rows)
    matched = (query for query in queries if query is not None)
    hits, counted = hits_of(matched, sight, sampling)
    if not counted:
        raise ReidError(NO_MATCH)
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
        exclude=protocol.exclude,
        distance=distance,
    )
