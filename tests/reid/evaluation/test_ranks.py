"""Ranks of matches against a stable sort, ties, signed zeros and infinities among the distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.evaluation import ranks

LEVELS = np.array([-np.inf, -2.5, -1e-30, -0.0, 0.0, 1e-30, 0.5, np.inf], dtype=np.float32)


@given(
    st.lists(st.sampled_from(range(len(LEVELS))), min_size=1, max_size=30),
    st.sets(st.integers(0, 29), min_size=1),
)
@settings(deadline=None, derandomize=True, max_examples=200)
def test_both_ways_equal_a_stable_sort(levels, chosen):
    row = LEVELS[levels]
    matches = np.array(sorted({index % len(row) for index in chosen}))
    order = sorted(range(len(row)), key=lambda index: row[index])
    wanted = [order.index(match) for match in matches]
    assert ranks._positions(row, matches).tolist() == wanted
    assert ranks._positions_of_many(row, matches).tolist() == wanted


@pytest.mark.parametrize("rule", ranks.EXCLUDE)
@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_torch_equals_numpy_with_ties(rule, seed):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    q, g = rng.integers(1, 6), rng.integers(1, 40)
    distance = LEVELS[rng.integers(0, len(LEVELS), (q, g))]
    labels = ranks.Labels.of(
        rng.integers(0, 4, q),
        rng.integers(0, 3, q),
        rng.integers(0, 4, g),
        rng.integers(0, 3, g),
        rule,
    )
    flat, counts, seen = ranks.rank_matches([distance], labels)
    found = ranks.rank_tensor(torch.from_numpy(distance), labels, slice(0, q))
    assert found[1].tolist() == counts.tolist()
    assert found[2].tolist() == seen.tolist()
    stops = np.cumsum(counts)[:-1]
    for ours, theirs in zip(np.split(flat, stops), np.split(found[0], stops), strict=True):
        assert sorted(ours.tolist()) == sorted(theirs.tolist())


def test_columns_are_those_of_the_matrix():
    labels = ranks.Labels.of([1], [1], [1, 2], [2, 2], "none")
    distance = np.array([[0.0, 5.0, 9.0, 3.0]])
    flat, counts, seen = ranks.rank_matches([distance], labels, np.array([1, 3]), 4)
    assert (flat.tolist(), counts.tolist(), seen.tolist()) == ([2], [1], [2])
