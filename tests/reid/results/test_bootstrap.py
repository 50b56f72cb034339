"""Intervals of paired differences: known cases, how often they hold the truth, and controls."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from reid.results.bootstrap import Interval, Paired, interval

TRUTH = 1.0
CASES = 300


def drawn(random, trainings: int, persons: int, of_person: float, of_training: float) -> list:
    """Trainings tested on the same persons, 2 queries each; all deviations are known."""
    person = np.repeat(np.arange(persons), 2)
    each = random.normal(0, of_person, persons)[person]
    return [
        Paired("", seed, person, TRUTH + each + random.normal(0, of_training)
               + random.normal(0, 1, len(person)))
        for seed in range(trainings)
    ]  # fmt: skip


def held(found: Interval, truth: float = TRUTH) -> bool:
    return found.low <= truth <= found.high


def resampled_trainings(pairs: Sequence[Paired], random, resamples: int) -> tuple[float, float]:
    """The usual interval of the mean over trainings: they are drawn with replacement."""
    means = np.array([pair.difference.mean() for pair in pairs])
    drawn_means = random.choice(means, (resamples, len(means))).mean(1)
    low, high = np.percentile(drawn_means, (2.5, 97.5))
    return low, high


def test_one_training_of_many_persons_has_the_normal_interval():
    random = np.random.default_rng(0)
    values = random.normal(3, 10, 2000)
    found = interval([Paired("", 0, np.arange(2000), values)])
    half = 1.96 * values.std(ddof=1) / np.sqrt(2000)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert (found.persons_low, found.persons_high) == (found.low, found.high)


def test_a_persons_queries_count_as_one_where_they_are_alike():
    values = np.random.default_rng(0).normal(0, 10, 400)
    once = interval([Paired("", 0, np.arange(400), values)])
    five = interval([Paired("", 0, np.repeat(np.arange(400), 5), np.repeat(values, 5))])
    assert dataclasses.astuple(five) == pytest.approx(dataclasses.astuple(once))


def test_the_mean_is_over_trainings_each_alike_however_many_queries():
    pairs = [
        Paired("split-01", 0, np.arange(2), np.array([1.0, 3.0])),
        Paired("split-02", 0, np.arange(2, 6), np.array([5.0, 7.0, 5.0, 7.0])),
    ]
    assert interval(pairs).mean == 4.0


def test_trainings_that_differ_widen_the_interval_by_students_t():
    person, zero = np.arange(50), np.zeros(50)
    pairs = [Paired("", seed, person, zero + value) for seed, value in enumerate((1.0, 2.0, 3.0))]
    found = interval(pairs)
    assert (found.persons_low, found.persons_high) == (2.0, 2.0), "all persons are alike"
    half = 4.303 * 1 / np.sqrt(3)  # the 97.5 % point of t with 2 degrees
    assert found.low == pytest.approx(2 - half, abs=0.1 * half)
    assert found.high == pytest.approx(2 + half, abs=0.1 * half)


@pytest.mark.parametrize("trainings", [2, 3])
def test_an_edge_is_hardly_a_matter_of_the_draw(trainings: int):
    """Heavy tails of few trainings would move it by some hundredths of the half width."""
    pairs = drawn(np.random.default_rng(0), trainings, 200, of_person=1, of_training=1)
    found = [interval(pairs, seed) for seed in range(12)]
    half = np.mean([one.high - one.low for one in found]) / 2
    assert np.std([one.low for one in found]) < 0.01 * half
    assert np.std([one.high for one in found]) < 0.01 * half


def test_seeds_of_one_split_are_no_further_splits():
    person = np.arange(50)
    pairs = [
        Paired(split, seed, person, np.full(50, value))
        for split, value in (("split-01", 1.0), ("split-02", 3.0))
        for seed in range(3)
    ]
    alone = [pair for pair in pairs if pair.seed == 0]
    assert interval(pairs) == interval(alone)


@pytest.mark.parametrize(
    ("trainings", "of_person", "of_training"),
    [
        pytest.param(1, 2.0, 0.0, id="persons differ"),
        pytest.param(3, 2.0, 0.0, id="three trainings that do not"),
        pytest.param(3, 0.5, 1.0, id="trainings differ more than persons"),
        pytest.param(3, 2.0, 0.5, id="both"),
        pytest.param(5, 1.0, 1.0, id="five trainings"),
    ],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(trainings, of_person, of_training):
    random = np.random.default_rng(1)
    cases = [drawn(random, trainings, 40, of_person, of_training) for _ in range(CASES)]
    share = np.mean([held(interval(pairs, seed, CASES)) for seed, pairs in enumerate(cases)])
    assert 0.925 <= share <= 0.995


def test_three_trainings_drawn_with_replacement_say_too_little():
    """Why their mean moves by Student's t instead."""
    random = np.random.default_rng(1)
    cases = [drawn(random, 3, 40, 0.5, 1.0) for _ in range(CASES)]
    edges = [resampled_trainings(pairs, random, CASES) for pairs in cases]
    assert np.mean([low <= TRUTH <= high for low, high in edges]) < 0.8


def test_two_rows_that_are_one_show_nothing():
    same = [Paired("", seed, np.repeat(np.arange(20), 3), np.zeros(60)) for seed in range(3)]
    assert interval(same) == Interval(0, 0, 0, 0, 0)
    assert interval(same).verdict == "not shown"


def test_rows_whose_names_are_shuffled_are_told_apart_as_seldom_as_chance_says():
    """A gain that is plain is lost where for each person chance says which row is which."""
    random = np.random.default_rng(2)
    pairs = drawn(random, 3, 60, 1.0, 0.1)
    assert interval(pairs).verdict == "shown"
    told = []
    for _ in range(200):
        sign = random.choice([-1.0, 1.0], 60)
        told.append(interval([p._replace(difference=p.difference * sign[p.person]) for p in pairs],
                             resamples=CASES).verdict)  # fmt: skip
    assert told.count("not shown") >= 0.9 * len(told)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.1, 2.0, "shown"), (-2.0, -0.1, "opposite"), (-0.1, 2.0, "not shown"),
     (0.0, 2.0, "not shown")],
)  # fmt: skip
def test_a_verdict_is_of_all_of_the_interval(low, high, verdict):
    assert Interval(1, low, high, low, high).verdict == verdict


def test_the_same_seed_gives_the_same_interval():
    pairs = drawn(np.random.default_rng(3), 2, 30, 1, 1)
    assert interval(pairs, 5) == interval(pairs, 5)
    assert interval(pairs, 5) != interval(pairs, 6)
