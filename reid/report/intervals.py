"""How far a score may be from what other queries of the same kind would give: the bootstrap.

Queries are drawn again and again with replacement; the interval holds 95 % of the means. It says
nothing of other trainings, whose spread over seeds stands beside it.

Source  Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentiles)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reid.results.built import Run

DRAWS = 1000
SHARES = (0.025, 0.975)
AT_ONCE = 100  # draws whose weights are in memory together
LONGEST = 50  # ranks of a curve


@dataclass(frozen=True)
class Scores:
    """What each query that counts reached, of one training or as the mean over several."""

    hits: np.ndarray  # (Q, R) whether a match is among the first 1, 2, ... R
    average_precision: np.ndarray  # (Q,)


def scores_of(trainings: Sequence[Run]) -> Scores | None:
    """None where the lists do not make up the scores, as with draws of single gallery shots.

    A query of several trainings is one: their mean.
    """
    if not all(_made_up(run) for run in trainings):
        return None
    found: dict[str, list[tuple[int, float]]] = {}
    for run in trainings:
        for query, line in run.ranked.items():
            if line["first_match"] > 0:
                pair = line["first_match"], line["average_precision"]
                found.setdefault(query, []).append(pair)
    if not found:
        return None
    ranks = np.arange(1, LONGEST + 1)
    hits = [(np.array([f for f, _ in each])[:, None] <= ranks).mean(0) for each in found.values()]
    precision = [np.mean([p for _, p in each]) for each in found.values()]
    return Scores(np.array(hits, float), np.array(precision, float))


def _made_up(run: Run) -> bool:
    """Whether the share of lists with a match at the top is the rank-1 that was published."""
    first = np.array([line["first_match"] for line in run.ranked.values()])
    first = first[first > 0]
    told = (run.metrics or {}).get("rank1")
    return len(first) > 0 and told is not None and abs((first == 1).mean() - told) < 1e-6


def interval(values: np.ndarray) -> np.ndarray:
    """The bounds (2,) of the mean of values (Q,), or (2, R) of the means of values (Q, R)."""
    random, count = np.random.default_rng(0), len(values)
    means = []
    for start in range(0, DRAWS, AT_ONCE):
        drawn = random.integers(0, count, (min(AT_ONCE, DRAWS - start), count))
        weights = np.stack([np.bincount(each, minlength=count) for each in drawn])
        means.append(weights @ values.astype(float) / count)
    return np.quantile(np.concatenate(means), SHARES, axis=0)
