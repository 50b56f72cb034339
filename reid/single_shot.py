"""Single gallery shot: the gallery shows one image of each person, drawn at random.

The CMC of such a gallery is itself random. It is averaged over repeated draws, as published
evaluations do, or computed exactly: given the drawn match, every other person is ahead of it
independently, with the share of his images that are nearer as probability, so the number of
persons ahead is Poisson-binomial. Equal distances keep the order of the gallery.

Also pools the features of multi-query protocols.

Source  Li et al., CVPR 2014 (CUHK03): mean CMC over draws of one gallery image a person.
        Multi-query: Zheng et al., ICCV 2015 (Market-1501), mean and max pooling of queries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from pipeline.core.errors import ReidError
from reid.metrics import Distance, distance_blocks, features_of
from reid.ranks import Exclude, Labels, checked_rows

Draw = Literal["shared", "per_query", "expected"]
Pool = Literal["mean", "max"]

REPEATS_AT_A_TIME = 256  # bounds memory; changes no draw
PAIRS_AT_A_TIME = 512  # (query, match) pairs of one pass of the recursion: fits the cache


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

    @property
    def rank5(self) -> float:
        """Share of queries whose match is among the first 5."""
        return self.rank(5)

    @property
    def rank10(self) -> float:
        """Share of queries whose match is among the first 10."""
        return self.rank(10)

    @property
    def rank20(self) -> float:
        """Share of queries whose match is among the first 20."""
        return self.rank(20)

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        deviation = self.cmc_deviation
        spread = [None] * len(self.cmc) if deviation is None else [float(one) for one in deviation]
        return {
            "protocol": "single_gallery_shot",
            **{f"rank{k}": self.rank(k) for k in self.ranks},
            **{f"rank{k}_deviation": spread[k - 1] for k in self.ranks},
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
    sampling = _Sampling.of(draw, repeats, seed, ranks)
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
    sampling = _Sampling.of(draw, repeats, seed, ranks)
    return _evaluate(blocks, labels, junk, sampling, "given")


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


@dataclass(frozen=True)
class _Sampling:
    draw: Draw
    repeats: int
    seed: int
    ranks: tuple[int, ...]

    @classmethod
    def of(cls, draw, repeats, seed, ranks) -> _Sampling:
        if draw not in get_args(Draw):
            raise ReidError(f"draw: no `{draw}` (there are {', '.join(get_args(Draw))})")
        if repeats < 1:
            raise ReidError(f"repeats: {repeats}, must be at least 1")
        if not ranks or min(ranks) < 1:
            raise ReidError(f"ranks: {tuple(ranks)}, must be whole numbers from 1")
        return cls(draw, repeats, seed, tuple(ranks))


class _View:
    """The gallery without one camera (None: all of it), its entries grouped by person."""

    def __init__(self, labels: Labels, hidden_camera: int | None):
        entries = np.arange(len(labels.gallery_person))
        if hidden_camera is not None:
            entries = np.flatnonzero(labels.gallery_camera != hidden_camera)
        person = labels.gallery_person[entries]
        order = np.argsort(person, kind="stable")
        self.entries = entries[order]  # (S,)
        self.persons, self.start, self.count = np.unique(  # (J,) each
            person[order], return_index=True, return_counts=True
        )
        self.group = np.repeat(np.arange(len(self.persons)), self.count)  # (S,)
        self.drawn = np.empty((0, len(self.persons)), dtype=np.int64)  # (R, J) if shared

    def find(self, person: int) -> int | None:
        """The person's group, if it is in sight."""
        at = int(np.searchsorted(self.persons, person))
        return at if at < len(self.persons) and self.persons[at] == person else None


@dataclass(frozen=True)
class _Query:
    """A query with a match: what it sees of its own person and of the others."""

    own: _View
    own_group: int
    others: _View
    own_among_others: int | None  # this group of `others` does not count
    place: np.ndarray  # (G,) of each gallery entry in the query's ranking, from 0

    @property
    def matches(self) -> np.ndarray:
        start = self.own.start[self.own_group]
        return self.own.entries[start : start + self.own.count[self.own_group]]


class _Sight:
    """The views that the queries have of the gallery, by the camera of the query."""

    def __init__(self, labels: Labels):
        self.labels = labels
        self.whole = _View(labels, None)
        cameras = [] if labels.exclude == "none" else np.unique(labels.query_camera).tolist()
        self.without = {camera: _View(labels, camera) for camera in cameras}

    def query(self, index: int, row: np.ndarray) -> _Query | None:
        """The query with its row (G,) of distances; None if it has no match."""
        person = int(self.labels.query_person[index])
        own = self.without.get(int(self.labels.query_camera[index]), self.whole)
        others = own if self.labels.exclude == "same_camera" else self.whole
        group = own.find(person)
        if group is None:
            return None
        place = np.empty(len(row), dtype=np.int32)
        place[np.argsort(row, kind="stable")] = np.arange(len(row), dtype=np.int32)
        return _Query(own, group, others, others.find(person), place)

    def draw_shared(self, repeats: int, random: np.random.Generator) -> None:
        """In each repeat the gallery is shuffled once, and a view shows each person's first."""
        count = len(self.labels.gallery_person)
        parts = {id(view): [] for view in self._views()}
        for start in range(0, repeats, REPEATS_AT_A_TIME):
            rows = min(REPEATS_AT_A_TIME, repeats - start)
            order = random.permuted(np.tile(np.arange(count), (rows, 1)), axis=1)  # (B, G)
            place = np.argsort(order, axis=1)
            for view in self._views():
                if len(view.entries):
                    first = np.minimum.reduceat(place[:, view.entries], view.start, axis=1)
                    parts[id(view)].append(np.take_along_axis(order, first, axis=1))  # (B, J)
        for view in self._views():
            view.drawn = np.concatenate(parts[id(view)]) if len(view.entries) else view.drawn

    def _views(self) -> list[_View]:
        return [self.whole, *self.without.values()]


def _evaluate(
    blocks: Iterable[np.ndarray],
    labels: Labels,
    junk: Sequence[int],
    sampling: _Sampling,
    distance: str,
) -> SingleShot:
    kept = labels.keep(junk)
    total, count = len(labels.gallery_person), len(labels.query_person)
    sight = _Sight(labels.at(kept))
    rows = enumerate(checked_rows(blocks, count, total))
    found = (sight.query(index, row[kept]) for index, row in rows)
    queries = (query for query in found if query is not None)
    length = max(sampling.ranks)
    expected = sampling.draw == "expected"
    curves, counted = (_expected if expected else _sampled)(queries, sight, sampling, length)
    if not counted:
        raise ReidError(
            "gallery: no query has a match; do persons and cameras have the right codes?"
        )
    curves = curves / counted  # (R, K), or (1, K)
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


def _sampled(
    queries: Iterator[_Query], sight: _Sight, sampling: _Sampling, length: int
) -> tuple[np.ndarray, int]:
    """Hits (R, K) among the first 1 to K in each repeat, and the number of queries."""
    random = np.random.default_rng(sampling.seed)
    repeats = np.arange(sampling.repeats)
    tally = np.zeros((sampling.repeats, length + 1), dtype=np.int64)  # last column: beyond K
    counted = 0
    if sampling.draw == "shared":
        sight.draw_shared(sampling.repeats, random)
    for query in queries:
        if sampling.draw == "shared":
            ahead = _ahead(query, query.own.drawn[:, query.own_group], query.others.drawn)
        else:
            ahead = _ahead_of_own_draws(query, sampling.repeats, random)
        tally[repeats, np.minimum(ahead, length)] += 1
        counted += 1
    return tally[:, :length].cumsum(1), counted


def _ahead(query: _Query, match: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Persons ahead (R,) of the drawn matches (R,), given the draws (R, J) of all persons."""
    limit = query.place[match][:, None]
    nearer = query.place.take(drawn) < limit  # (R, J)
    if query.own_among_others is not None:
        nearer[:, query.own_among_others] = False
    return np.count_nonzero(nearer, axis=1)


def _ahead_of_own_draws(query: _Query, repeats: int, random: np.random.Generator) -> np.ndarray:
    """As `_ahead`, with draws of the query's own."""
    match = query.matches[random.integers(len(query.matches), size=repeats)]  # (R,)
    view, ahead = query.others, []
    for start in range(0, repeats, REPEATS_AT_A_TIME):
        part = match[start : start + REPEATS_AT_A_TIME]
        pick = (random.random((len(part), len(view.persons))) * view.count).astype(np.int64)
        ahead.append(_ahead(query, part, view.entries.take(pick + view.start)))
    return np.concatenate(ahead)


def _expected(
    queries: Iterator[_Query], sight: _Sight, sampling: _Sampling, length: int
) -> tuple[np.ndarray, int]:
    """Expected hits (1, K) among the first 1 to K, and the number of queries."""
    hits = np.zeros(length)
    counted, waiting, pairs = 0, [], 0
    for query in queries:
        waiting.append(_probabilities(query, len(sight.whole.persons)))
        pairs += len(waiting[-1])
        counted += 1
        if pairs >= PAIRS_AT_A_TIME:
            hits += _hits(waiting, length)
            waiting, pairs = [], 0
    if waiting:
        hits += _hits(waiting, length)
    return hits[None], counted


def _probabilities(query: _Query, width: int) -> np.ndarray:
    """(M, width): for each of the query's M matches, the others' probabilities to be ahead."""
    view = query.others
    limits = np.sort(query.place[query.matches])  # (M,)
    rung = np.searchsorted(limits, query.place[view.entries], side="right")  # matches not farther
    size = len(view.persons)
    nearer = np.bincount(rung * size + view.group, minlength=(len(limits) + 1) * size)
    nearer = nearer.reshape(-1, size).cumsum(0)[:-1]  # (M, J) images before the match
    probability = np.zeros((len(limits), width))  # zeros: persons out of sight
    probability[:, :size] = nearer / view.count
    if query.own_among_others is not None:
        probability[:, query.own_among_others] = 0
    return probability


def _hits(waiting: list[np.ndarray], length: int) -> np.ndarray:
    """(K,): sum over queries of P(fewer than 1, 2, ... K persons ahead), mean over its matches."""
    weight = np.concatenate([np.full(len(one), 1 / len(one)) for one in waiting])
    exactly = poisson_binomial(np.concatenate(waiting), length)  # (pairs, K)
    return weight @ exactly.cumsum(1)


def poisson_binomial(probability: np.ndarray, length: int) -> np.ndarray:
    """P(0), P(1), ... P(length - 1) successes in independent trials: (T, J) to (T, length).

    Trial by trial, P(k) becomes P(k) (1 - p) + P(k - 1) p; P(0) is the product of all 1 - p.
    What is beyond `length` is never computed.
    """
    exactly = np.zeros((length, len(probability)))  # (K, T)
    exactly[0] = 1
    moved = np.empty((length - 1, len(probability)))
    for success in np.ascontiguousarray(probability.T):  # (T,)
        np.multiply(exactly[:-1], success, out=moved)
        exactly *= 1 - success
        exactly[1:] += moved
    return exactly.T
