"""Ranks of matches against a stable sort, ties, signed zeros and infinities among the distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.evaluation import ranks
from tests.reid.evaluation.reference import EXCLUDE, problems

LEVELS = np.array([-np.inf, -2.5, -1e-30, -0.0, 0.0, 1e-30, 0.5, np.inf])


@pytest.mark.parametrize("many", [0, 64], ids=["one stable sort", "a pass for each tie"])
@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@given(
    st.lists(st.sampled_from(range(len(LEVELS))), min_size=1, max_size=30),
    st.sets(st.integers(0, 29)),
    st.sets(st.integers(0, 29)),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_positions_are_those_of_a_stable_sort(many, kind, levels, chosen, unseen):
    row = LEVELS[levels].astype(kind)
    matches = np.array(sorted({index % len(row) for index in chosen}), dtype=np.int64)
    hidden = np.setdiff1d([index % len(row) for index in unseen], matches).astype(np.int64)
    order = sorted({*range(len(row))} - {*hidden}, key=lambda index: (row[index], index))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "MANY_TIES", many)
        assert ranks.positions(row, matches, hidden).tolist() == [
            order.index(match) for match in matches
        ]


@pytest.mark.parametrize("exclude", EXCLUDE)
@given(problem=problems(), infinite=st.booleans())
@settings(deadline=None, derandomize=True, max_examples=40)
def test_torch_equals_numpy_with_ties(exclude, problem, infinite):
    torch = pytest.importorskip("torch")
    distance, labels = problem
    distance = np.where(distance > 0, np.inf, distance) if infinite else distance * 0.0  # -0, 0
    distance = distance.astype(np.float32)
    flat, counts, seen = ranks.rank_matches(distance, labels, exclude)
    on_torch = ranks.rank_tensor(
        torch.from_numpy(distance), labels, exclude, slice(0, len(distance))
    )
    assert on_torch[1].tolist() == counts.tolist()
    assert on_torch[2].tolist() == seen.tolist()
    stops = np.cumsum(counts)[:-1]
    for by_numpy, by_torch in zip(np.split(flat, stops), np.split(on_torch[0], stops), strict=True):
        assert sorted(by_numpy.tolist()) == sorted(by_torch.tolist())


def test_the_distances_stay_as_they_are():
    distance, labels = np.zeros((1, 2)), ranks.Labels.of([1], [1], [1, 1], [1, 2])
    flat, counts, seen = ranks.rank_matches(distance, labels, "same_person_same_camera")
    assert (flat.tolist(), counts.tolist(), seen.tolist()) == ([1], [1], [1])
    assert distance.tolist() == [[0, 0]]
