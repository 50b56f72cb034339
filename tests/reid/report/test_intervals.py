"""The bootstrap against the normal interval, and which runs have scores to draw from."""

from pathlib import Path

import numpy as np
import pytest

from reid.report.intervals import interval, scores_of
from reid.results.built import Run


def run_of(firsts: dict[str, int], rank1: float | None = None) -> Run:
    """A run whose queries have their first match at these ranks, and AP 1 / rank."""
    counted = [rank for rank in firsts.values() if rank]
    told = np.mean([rank == 1 for rank in counted]) if rank1 is None else rank1
    run = Run("a", Path(), None, {"rank1": told})
    run.__dict__["ranked"] = {
        query: {"first_match": rank, "average_precision": 1 / rank if rank else np.nan}
        for query, rank in firsts.items()
    }
    return run


def test_interval_of_a_share_is_that_of_the_normal_distribution():
    hits = np.repeat([1.0, 0.0], [300, 700])
    half = 1.96 * np.sqrt(0.3 * 0.7 / 1000)
    assert interval(hits) == pytest.approx([0.3 - half, 0.3 + half], abs=0.006)
    assert interval(hits).tolist() == interval(hits).tolist(), "the same draws each time"


def test_interval_of_a_curve_is_one_of_each_rank():
    hits = np.array([[0, 0, 1], [0, 1, 1]], float)
    assert interval(hits).tolist() == [[0, 0, 1], [0, 1, 1]]


def test_scores_are_of_the_queries_that_have_a_match():
    found = scores_of([run_of({"p": 1, "q": 3, "r": 0, "s": 1000})])
    assert found is not None
    assert found.hits[:, :4].tolist() == [[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]
    assert found.average_precision == pytest.approx([1, 1 / 3, 0.001])


def test_a_query_of_several_trainings_is_one():
    found = scores_of([run_of({"p": 1, "q": 2}), run_of({"p": 2, "q": 2})])
    assert found is not None
    assert found.hits[:, :2].tolist() == [[0.5, 1], [0, 1]]
    assert found.average_precision.tolist() == [0.75, 0.5]


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(run_of({"p": 1, "q": 2}, rank1=0.4), id="rank-1 is of other draws"),
        pytest.param(run_of({}, rank1=0.4), id="no lists"),
        pytest.param(run_of({"p": 0}, rank1=0.0), id="no query with a match"),
    ],
)
def test_no_scores_where_the_lists_do_not_make_them_up(run):
    assert scores_of([run]) is None
