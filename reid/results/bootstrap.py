"""How sure a difference of two rows is: a paired bootstrap over persons, and over trainings.

Two rows are compared query by query, in trainings of one seed and split. A person's queries are
alike, so persons are drawn, not queries: with replacement, and in all trainings the same ones,
which share their test persons. Trainings differ too, and three of them drawn with replacement
would say too little of how far the next one lies (tests/reid/results/test_bootstrap.py measures
it). So their mean moves by its standard error times Student's t, of splits where there are
several, else of seeds. Where the persons of splits differ this counts them twice: it is then too
wide, not too narrow.

Source  Efron and Tibshirani, An introduction to the bootstrap, 1993: percentile intervals;
        clusters: Cameron, Gelbach and Miller, Review of Economics and Statistics, 2008
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
EACH = 20  # values of Student's t that a resample is moved by
CHUNK = 1_000  # resamples at a time: memory stays below 20 MB for a thousand persons

Verdict = Literal["shown", "not shown", "opposite", "not measured"]


class Paired(NamedTuple):
    """One training of each row, of the same split and seed, query by query."""

    split: str
    seed: int
    person: np.ndarray  # (Q,) whom a query searches
    difference: np.ndarray  # (Q,) of the better row's value less the worse row's


@dataclass(frozen=True)
class Interval:
    """A mean difference and its 95 % interval; and the interval if no other training was drawn."""

    mean: float
    low: float
    high: float
    persons_low: float
    persons_high: float

    @property
    def verdict(self) -> Verdict:
        """`shown` where all of the interval is above 0, `opposite` where all of it is below."""
        return "shown" if self.low > 0 else "opposite" if self.high < 0 else "not shown"


def interval(pairs: Sequence[Paired], seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The mean over trainings of the mean difference over queries, with its intervals.

    Each training counts alike. Where there is one training alone both intervals are the same.
    """
    sums, counts = _by_person(pairs)
    means = sums.sum(0) / counts.sum(0)  # (R,)
    random = np.random.default_rng(seed)
    drawn = np.concatenate([
        _resampled(sums, counts, random, min(CHUNK, resamples - start))
        for start in range(0, resamples, CHUNK)
    ])  # fmt: skip
    moved = drawn
    if degrees := len(set(_units(pairs))) - 1:
        values = _student(degrees, random, EACH * resamples)
        moved = np.tile(drawn, EACH) + _of_trainings(pairs, means) * values
    tails = 50 * (1 - LEVEL), 50 * (1 + LEVEL)
    edges = [*np.percentile(moved, tails), *np.percentile(drawn, tails)]
    return Interval(float(means.mean()), *(float(edge) for edge in edges))


def _by_person(pairs: Sequence[Paired]) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts of queries by person and training, (P, R) each."""
    persons = np.unique(np.concatenate([pair.person for pair in pairs]))
    sums, counts = np.zeros((2, len(persons), len(pairs)))
    for number, pair in enumerate(pairs):
        at = np.searchsorted(persons, pair.person)
        sums[:, number] = np.bincount(at, pair.difference, len(persons))
        counts[:, number] = np.bincount(at, minlength=len(persons))
    return sums, counts


def _resampled(sums: np.ndarray, counts: np.ndarray, random, resamples: int) -> np.ndarray:
    """(resamples,) means of drawn persons: of sums and counts (P, R) the mean over trainings."""
    persons = len(sums)
    times = random.multinomial(persons, np.full(persons, 1 / persons), resamples).astype(float)
    asked = times @ counts  # (resamples, R); 0 where nobody of a split was drawn
    each = np.divide(times @ sums, asked, out=np.full_like(asked, np.nan), where=asked > 0)
    return np.nanmean(each, 1)


def _units(pairs: Sequence[Paired]) -> list[str]:
    """By what trainings are told apart: their splits where there are several, else seeds."""
    splits = [pair.split for pair in pairs]
    return splits if len(set(splits)) > 1 else [str(pair.seed) for pair in pairs]


def _of_trainings(pairs: Sequence[Paired], means: np.ndarray) -> float:
    """The standard error of the mean over splits, or over seeds, of which there are several."""
    units = np.array(_units(pairs))
    each = [means[units == unit].mean() for unit in np.unique(units)]
    return float(np.std(each, ddof=1) / np.sqrt(len(each)))


def _student(degrees: int, random, count: int) -> np.ndarray:
    """(count,) values of Student's t: its quantiles in random order.

    Its tails are so heavy that of drawn ones the edges would be a matter of the draw.
    """
    from scipy.stats import t

    return random.permutation(t.ppf((np.arange(count) + 0.5) / count, degrees))
