"""The curve of a single gallery shot: by repeated draws, or exactly.

Exactly: once the match is drawn, every other person is ahead of it independently, with the share of
that person's images that are nearer as probability. So the number of persons ahead is
Poisson-binomial.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from reid.evaluation.protocol import check_name
from reid.evaluation.ranks import checked_ranks
from reid.evaluation.single_shot_sight import Query, Sight
from reid.project.errors import ReidError

Draw = Literal["shared", "per_query", "expected"]

REPEATS_AT_A_TIME = 256  # bounds memory; changes no draw
PAIRS_AT_A_TIME = 512  # (query, match) pairs of one pass of the recursion: fits the cache


@dataclass(frozen=True)
class Sampling:
    """How the gallery is drawn, and which ranks are asked for. Raises `ReidError`.

    `shared`: each repeat draws once for all queries (CUHK03's own evaluation), so that all queries
    that see a person's drawn image meet the same one. `per_query`: each query of each repeat has
    its own draw (later programs). `expected`: the exact mean over all draws, the same for both.
    """

    draw: Draw = "expected"  # the exact expectation, or repeated draws
    repeats: int = 100  # of `shared` and `per_query`
    seed: int = 0  # likewise
    ranks: tuple[int, ...] = (1, 5, 10, 20)

    def __post_init__(self) -> None:
        check_name("draw", self.draw, get_args(Draw))
        if self.repeats < 1:
            raise ReidError(f"repeats: {self.repeats}, must be at least 1")
        checked_ranks(self.ranks)


def hits_of(queries: Iterator[Query], sight: Sight, sampling: Sampling) -> tuple[np.ndarray, int]:
    """Hits among the first 1 to K, and the number of queries; K is the largest rank of `sampling`.

    The hits are (R, K), of each repeat, or (1, K), expected.
    """
    count = _expected if sampling.draw == "expected" else _sampled
    return count(queries, sight, sampling, max(sampling.ranks))


def _sampled(
    queries: Iterator[Query], sight: Sight, sampling: Sampling, length: int
) -> tuple[np.ndarray, int]:
    """Hits (R, K) among the first 1 to K in each repeat, and the number of queries."""
    random = np.random.default_rng(sampling.seed)
    repeats = np.arange(sampling.repeats)
    tally = np.zeros((sampling.repeats, length + 1), dtype=np.int64)  # last column: beyond K
    counted = 0
    if sampling.draw == "shared":
        _draw_shared(sight, sampling.repeats, random)
    for query in queries:
        if sampling.draw == "shared":
            ahead = _ahead(query, query.own.drawn[:, query.own_group], query.others.drawn)
        else:
            ahead = _ahead_of_own_draws(query, sampling.repeats, random)
        tally[repeats, np.minimum(ahead, length)] += 1
        counted += 1
    return tally[:, :length].cumsum(1), counted


def _draw_shared(sight: Sight, repeats: int, random: np.random.Generator) -> None:
    """Shuffle the gallery once in each repeat; a view shows the first image of each person."""
    count = len(sight.labels.gallery_person)
    parts = {id(view): [] for view in sight.views()}
    for start in range(0, repeats, REPEATS_AT_A_TIME):
        rows = min(REPEATS_AT_A_TIME, repeats - start)
        order = random.permuted(np.tile(np.arange(count), (rows, 1)), axis=1)  # (B, G)
        position = np.argsort(order, axis=1)
        for view in sight.views():
            if len(view.entries):
                first = np.minimum.reduceat(position[:, view.entries], view.start, axis=1)
                parts[id(view)].append(np.take_along_axis(order, first, axis=1))  # (B, J)
    for view in sight.views():
        view.drawn = np.concatenate(parts[id(view)]) if len(view.entries) else view.drawn


def _ahead(query: Query, match: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """How many persons are ahead (R,) of the drawn matches (R,), by draws (R, J) of all persons."""
    limit = query.position[match][:, None]
    nearer = query.position.take(drawn) < limit  # (R, J)
    if query.own_among_others is not None:
        nearer[:, query.own_among_others] = False
    return np.count_nonzero(nearer, axis=1)


def _ahead_of_own_draws(query: Query, repeats: int, random: np.random.Generator) -> np.ndarray:
    """As `_ahead`, with draws of the query's own."""
    match = query.matches[random.integers(len(query.matches), size=repeats)]  # (R,)
    view, ahead = query.others, []
    for start in range(0, repeats, REPEATS_AT_A_TIME):
        part = match[start : start + REPEATS_AT_A_TIME]
        pick = (random.random((len(part), len(view.persons))) * view.count).astype(np.int64)
        ahead.append(_ahead(query, part, view.entries.take(pick + view.start)))
    return np.concatenate(ahead)


def _expected(
    queries: Iterator[Query], sight: Sight, sampling: Sampling, length: int
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


def _probabilities(query: Query, width: int) -> np.ndarray:
    """(M, width): for each of the query's M matches, the others' probabilities to be ahead."""
    view = query.others
    limits = np.sort(query.position[query.matches])  # (M,)
    rung = np.searchsorted(limits, query.position[view.entries], side="right")  # not farther
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
